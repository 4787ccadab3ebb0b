package netdev

import (
	"encoding/binary"
	"slices"

	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// What a tcx program returns (enum tcx_action_base).
const (
	tcxNext     = ^uint32(0)
	tcxPass     = 0
	tcxDrop     = 2
	tcxRedirect = 7
)

// Why a redirect came to nothing.
const (
	noTarget    = "a program said redirect, and no helper had said where to"
	noInterface = "a redirect to interface %d, which does not exist in its network namespace"
)

// redirectIngress is BPF_F_INGRESS: into an interface rather than out of it.
const redirectIngress = 1

// chain is tcx_run: programs run until one returns other than TCX_NEXT. What is
// no verdict of tcx's lets the packet go on.
func (n *Network) chain(i *Interface, hook Hook, progs []*vm.Program, p *packet) (uint32, exec.Redirect, error) {
	for _, prog := range progs {
		ret, r, err := n.run(i, hook, prog, p, 0)
		if err != nil {
			return 0, r, err
		}
		switch ret {
		case tcxNext:
		case tcxDrop, tcxRedirect:
			return ret, r, nil
		default:
			return tcxPass, r, nil
		}
	}
	return tcxPass, exec.Redirect{}, nil
}

// ingress takes a packet from the driver to the stack.
func (n *Network) ingress(i *Interface, p *packet) error {
	p.ingress, p.frame = i.Index, false
	return n.through(i, TCXIngress, i.ingress, p, n.stack)
}

// output takes a packet from the stack to the driver.
func (n *Network) output(i *Interface, p *packet) error {
	return n.through(i, TCXEgress, i.egress, p, n.transmit)
}

// through takes a packet through a chain, and then, if that lets it go on, to next.
func (n *Network) through(i *Interface, hook Hook, progs []*vm.Program, p *packet, next func(*Interface, *packet) error) error {
	ret, r, err := n.chain(i, hook, progs, p)
	switch {
	case err != nil:
		return err
	case ret == tcxDrop:
		return n.drop(i)
	case ret == tcxRedirect:
		return n.tcxRedirect(i, p, &r, hook == TCXIngress)
	}
	return next(i, p)
}

// tcxRedirect is skb_do_redirect.
func (n *Network) tcxRedirect(i *Interface, p *packet, r *exec.Redirect, ingress bool) error {
	i.Redirect++
	if r.Kind == exec.RedirectNone {
		return n.fail(i, noTarget)
	}
	to := n.ByIndex(r.Ifindex)
	if to == nil || to.Netns != i.Netns {
		return n.fail(i, noInterface, r.Ifindex)
	}
	switch r.Kind {
	case exec.RedirectInterface:
		if r.Flags&redirectIngress != 0 {
			return n.into(i, to, p)
		}
	case exec.RedirectPeer:
		switch {
		case !ingress:
			return n.fail(i, "bpf_redirect_peer works at tcx/ingress only")
		case to.peer == nil:
			return n.fail(i, "bpf_redirect_peer to %s, which has no peer", to.Name)
		case to.peer.Netns == i.Netns:
			return n.fail(i, "bpf_redirect_peer to %s, whose peer %s is in the same network namespace", to.Name, to.peer.Name)
		}
		return n.into(i, to.peer, p)
	case exec.RedirectNeigh:
		if !n.resolve(to, p, r.Nexthop) {
			return n.fail(i, "bpf_redirect_neigh to %s, which has no route with a neighbour that is known", to.Name)
		}
	}
	return n.leave(i, to, p)
}

// leave sends a packet out of another interface.
func (n *Network) leave(i, to *Interface, p *packet) error {
	if n.hop(i, p) {
		n.later(func() error { return n.output(to, p) })
	}
	return nil
}

// into makes another interface receive a packet, behind its driver and XDP.
func (n *Network) into(i, to *Interface, p *packet) error {
	if !n.hop(i, p) {
		return nil
	}
	if p.skb != nil { // dev_forward_skb scrubs
		p.skb.Priority = 0
		p.skb.SetPktType(p.data, to.MAC)
	}
	n.later(func() error {
		if err := n.passes(to, RX, p.wire()); err != nil {
			return err
		}
		return n.ingress(to, p)
	})
	return nil
}

// wire is the packet as it is on the wire: with the VLAN tag that lies beside it.
func (p *packet) wire() []byte {
	const addresses = 12
	if p.vlan == [4]byte{} || len(p.data) < addresses {
		return p.data
	}
	return slices.Concat(p.data[:addresses], p.vlan[:], p.data[addresses:])
}

// Env gives programs' surroundings with this network in them: its interfaces'
// MTUs, its routes, and where bpf_clone_redirect sends packets.
func (n *Network) Env(base exec.Env) *exec.Env {
	if n.opts.Routes == nil {
		n.opts.Routes = base.Net
	}
	base.Net = view{n}
	base.Clone = n.cloned
	return &base
}

// cloned is bpf_clone_redirect: a copy goes on its way when the run is over.
func (n *Network) cloned(s *exec.State, ifindex uint32, flags uint64) {
	to := n.ByIndex(ifindex)
	if to == nil || n.running == nil {
		return
	}
	skb := *progtype.SKB(s)
	p := &packet{
		data: slices.Clone(s.Packet.Bytes()), skb: &skb, vlan: skb.VLAN(),
		ingress: n.running.ingress, queue: n.running.queue, cpu: n.running.cpu, hops: n.running.hops,
	}
	n.later(func() error {
		if flags&redirectIngress != 0 {
			return n.into(to, to, p)
		}
		return n.leave(to, to, p)
	})
}

// etherType is the type field of a frame.
func etherType(frame []byte) uint16 { return binary.BigEndian.Uint16(frame[12:]) }
