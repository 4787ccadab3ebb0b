package netdev

import (
	"encoding/binary"
	"hash/fnv"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/maps"
)

// What an XDP program returns (enum xdp_action).
const (
	xdpPass     = 2
	xdpTX       = 3
	xdpRedirect = 4
)

// Flags of bpf_redirect_map.
const (
	broadcast      = 1 << 3
	excludeIngress = 1 << 4
)

// receive is the driver's: a frame arrived at an interface.
func (n *Network) receive(i *Interface, p *packet) error {
	if err := n.passes(i, RX, p.wire()); err != nil {
		return err
	}
	if len(p.data) < ethHeader {
		return n.fail(i, "a frame of %d bytes is shorter than an Ethernet header", len(p.data))
	}
	p.ingress, p.queue = i.Index, rss(p.data)%i.Queues
	if i.xdp == nil {
		return n.ingress(i, p)
	}
	ret, r, err := n.run(i, XDP, i.xdp, p, 0)
	if err != nil {
		return err
	}
	if ret != xdpPass {
		p.mark, p.vlan, p.frame = 0, [4]byte{}, true // a frame is no socket buffer, and a veth forgets it
	}
	switch ret {
	case xdpPass:
		return n.ingress(i, p)
	case xdpTX:
		return n.transmit(i, p)
	case xdpRedirect:
		return n.xdpRedirect(i, p, &r)
	}
	return n.drop(i)
}

// xdpRedirect is xdp_do_redirect.
func (n *Network) xdpRedirect(i *Interface, p *packet, r *exec.Redirect) error {
	i.Redirect++
	switch m := maps.Get(r.Map); {
	case r.Kind == exec.RedirectInterface:
		if to := n.ByIndex(r.Ifindex); to != nil && to.Netns != i.Netns {
			return n.fail(i, noInterface, r.Ifindex)
		}
		return n.enqueue(i, p, maps.Target{To: r.Ifindex})
	case r.Kind != exec.RedirectMap || m == nil:
		return n.fail(i, noTarget)
	case m.Info().Type == ebpf.CPUMap:
		p.cpu = r.Ifindex
		return n.toCPU(i, p, r.Prog)
	case r.Flags&broadcast != 0:
		return n.toAll(i, p, m.(maps.Targets), r.Flags)
	}
	return n.enqueue(i, p, maps.Target{To: r.Ifindex, Prog: r.Prog})
}

// toAll sends a copy to each interface of a devmap that can take it.
func (n *Network) toAll(i *Interface, p *packet, m maps.Targets, flags uint64) error {
	sent := false
	for t := range m.All() {
		to := n.ByIndex(t.To)
		if flags&excludeIngress != 0 && t.To == p.ingress || to == nil || len(p.data) > to.maxFrame() {
			continue
		}
		sent = true
		if err := n.enqueue(i, p.clone(), t); err != nil {
			return err
		}
	}
	if !sent {
		return n.drop(i)
	}
	return nil
}

// enqueue is dev_map_enqueue: the devmap's program runs, and the frame leaves.
func (n *Network) enqueue(i *Interface, p *packet, t maps.Target) error {
	to := n.ByIndex(t.To)
	switch {
	case to == nil:
		return n.fail(i, noInterface, t.To)
	case len(p.data) > to.maxFrame():
		return n.fail(i, "a frame of %d bytes is too long for the MTU of %s, %d", len(p.data), to.Name, to.MTU)
	}
	if t.Prog != 0 {
		prog, err := vm.NewProgramFromID(ebpf.ProgramID(t.Prog))
		if err != nil {
			return err
		}
		defer prog.Close()
		ret, _, err := n.run(to, XDPDevMap, prog, p, to.Index)
		if err != nil {
			return err
		}
		if ret != xdpPass {
			return n.drop(to)
		}
	}
	return n.transmit(to, p)
}

// toCPU is the other CPU's part of a cpumap: its program runs, and the packet
// goes on into the stack, or is redirected once more.
func (n *Network) toCPU(i *Interface, p *packet, id uint32) error {
	if id == 0 {
		return n.ingress(i, p)
	}
	prog, err := vm.NewProgramFromID(ebpf.ProgramID(id))
	if err != nil {
		return err
	}
	defer prog.Close()
	ret, r, err := n.run(i, XDPCPUMap, prog, p, 0)
	if err != nil {
		return err
	}
	switch {
	case ret == xdpPass:
		return n.ingress(i, p)
	case ret == xdpRedirect && n.hop(i, p):
		return n.xdpRedirect(i, p, &r)
	case ret == xdpRedirect:
		return nil
	}
	return n.drop(i)
}

// rss spreads packets over receive queues: packets of one flow have one number.
func rss(frame []byte) uint32 {
	at, typ := ethHeader, binary.BigEndian.Uint16(frame[12:])
	for (typ == 0x8100 || typ == 0x88a8) && len(frame) >= at+4 {
		typ = binary.BigEndian.Uint16(frame[at+2:])
		at += 4
	}
	from, to := 12, 24 // IPv4: addresses and ports
	if typ == 0x86dd {
		from, to = 8, 44
	} else if typ != 0x0800 {
		return 0
	}
	h := fnv.New32a()
	h.Write(frame[min(at+from, len(frame)):min(at+to, len(frame))])
	return h.Sum32()
}
