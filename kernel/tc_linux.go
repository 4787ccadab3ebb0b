package kernel

import (
	"io"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/skep-ebpf/skep/hook"
)

func init() {
	families["tcx/ingress"], families["tcx/egress"] = planTCX, planTCX
	families["netkit/primary"], families["netkit/peer"] = planNetkit, planNetkit
}

// planTCX attaches to what an interface receives or sends, behind the programs that are
// there.
func planTCX(_ *Collection, prog *ebpf.Program, at hook.Point) (func() (io.Closer, error), error) {
	i, err := interfaceNamed(at.Target)
	if err != nil {
		return nil, err
	}
	return func() (io.Closer, error) {
		return link.AttachTCX(link.TCXOptions{Interface: i.Index, Program: prog, Attach: at.Kind.Attach})
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
