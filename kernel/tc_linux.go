package kernel

import (
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

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
			stand, err := attachClsact(prog, at, i, parent, 0)
			return otherwise{stand, "by a filter of clsact, as this kernel has no tcx (Linux 6.6 has)"}, err
		}
		return l, err
	}, nil
}

// planNetkit attaches to an end of a pair of netkit interfaces, both by the name of the
// primary one: peer means the other end, which may be in another network namespace.
func planNetkit(_ *Collection, prog *ebpf.Program, at hook.Point) (func() (io.Closer, error), error) {
	i, err := interfaceNamed(at.Target)
	if err != nil {
		return nil, err
	}
	of, err := netlink.LinkByIndex(i.Index)
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", i.Name, err)
	}
	switch pair, ok := of.(*netlink.Netkit); {
	case !ok:
		return nil, fmt.Errorf("interface %s is a %s, and no netkit: attach with xdp/%[1]s or tcx/ingress/%[1]s", i.Name, of.Type())
	case !pair.IsPrimary():
		return nil, fmt.Errorf("interface %s is the peer of a netkit: say netkit/peer/ and the name of its primary one", i.Name)
	}
	return func() (io.Closer, error) {
		return link.AttachNetkit(link.NetkitOptions{Interface: i.Index, Program: prog, Attach: at.Kind.Attach})
	}, nil
}
