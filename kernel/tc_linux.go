package kernel

import (
	"errors"
	"io"
	"path"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/skep-ebpf/skep/hook"
)

func init() {
	families["tcx/ingress"], families["tcx/egress"] = planTCX, planTCX
	families["netkit/primary"], families["netkit/peer"] = planNetkit, planNetkit
}

// planTCX attaches to what an interface receives or sends, behind the programs that are
// there. Linux before 6.6 has no tcx, but filters that do the same.
func planTCX(_ *Collection, prog *ebpf.Program, at hook.Point) (func() (io.Closer, error), error) {
	i, err := interfaceNamed(at.Target)
	if err != nil {
		return nil, err
	}
	parent := directions[path.Base(at.Kind.Name)]
	return func() (io.Closer, error) {
		l, err := link.AttachTCX(link.TCXOptions{Interface: i.Index, Program: prog, Attach: at.Kind.Attach})
		if errors.Is(err, ebpf.ErrNotSupported) {
			return attachClsact(prog, at, i, parent, 0)
		}
		return l, err
	}, nil
}

func planNetkit(_ *Collection, prog *ebpf.Program, at hook.Point) (func() (io.Closer, error), error) {
	i, err := interfaceNamed(at.Target)
	if err != nil {
		return nil, err
	}
	return func() (io.Closer, error) {
		return link.AttachNetkit(link.NetkitOptions{Interface: i.Index, Program: prog, Attach: at.Kind.Attach})
	}, nil
}
