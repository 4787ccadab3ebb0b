package netdev

import (
	"encoding/binary"
	"net/netip"

	"github.com/skep-ebpf/skep/vm/exec"
)

// view is the network as helpers ask for it.
type view struct{ n *Network }

// MTU implements [exec.Net]. A program sees the interfaces of the namespace that
// it runs in.
func (v view) MTU(ifindex uint32) int {
	i := v.n.ByIndex(ifindex)
	if i == nil || v.n.at != nil && v.n.at.Netns != i.Netns {
		return 0
	}
	return i.MTU
}

// Interface implements [exec.Interfaces].
func (v view) Interface(index uint32) (exec.Interface, bool) {
	i := v.n.ByIndex(index)
	if i == nil {
		return exec.Interface{}, false
	}
	return exec.Interface{Index: i.Index, Name: i.Name, MAC: i.MAC, MTU: i.MTU, Forwarding: i.Forward}, true
}

// NetNS implements [exec.Net].
func (v view) NetNS(ifindex uint32) uint64 {
	if i := v.n.ByIndex(ifindex); i != nil {
		return v.n.namespaces[i.Netns]
	}
	if v.n.at == nil {
		return 0
	}
	return v.n.namespaces[v.n.at.Netns]
}

// FIB implements [exec.Net].
func (v view) FIB(q exec.FIBQuery) exec.FIBResult {
	if v.n.opts.Routes == nil {
		return exec.FIBResult{Code: exec.FIBForwardingDisabled}
	}
	return v.n.opts.Routes.FIB(q)
}

// stack is where a packet ends that nobody stopped: this host has it, unless the
// interface forwards and a route sends it on.
func (n *Network) stack(i *Interface, p *packet) error {
	src, dst, ok := addresses(p.data)
	if !i.Forward || !ok || n.opts.Routes == nil || [6]byte(p.data) != i.MAC {
		i.Stack++
		return nil
	}
	route := n.opts.Routes.FIB(exec.FIBQuery{Ifindex: i.Index, Src: src, Dst: dst, Length: uint16(len(p.data) - ethHeader)})
	switch route.Code {
	case exec.FIBNotForwarded:
		i.Stack++
		return nil
	case exec.FIBSuccess:
	default:
		return n.fail(i, "the route to %s does not let packets pass (answer %d of bpf_fib_lookup)", dst, route.Code)
	}
	to := n.ByIndex(route.Ifindex)
	switch {
	case to == nil:
		return n.fail(i, "the route to %s leaves by interface %d, which does not exist", dst, route.Ifindex)
	case route.NeighbourMissing:
		return n.fail(i, "the route to %s has a next hop whose MAC address nobody knows: add it to neighbours", dst)
	case !age(p.data):
		return n.fail(i, "time to live is over")
	}
	i.Counters.Forward++
	copy(p.data, route.DstMAC[:])
	copy(p.data[6:], to.MAC[:])
	return n.leave(i, to, p)
}

// resolve fills in the Ethernet addresses of a packet that leaves by an
// interface, for its next hop or else its destination.
func (n *Network) resolve(to *Interface, p *packet, hop netip.Addr) bool {
	src, dst, ok := addresses(p.data)
	if !ok || n.opts.Routes == nil {
		return false
	}
	if hop.IsValid() {
		dst = hop
	}
	route := n.opts.Routes.FIB(exec.FIBQuery{Ifindex: to.Index, Src: src, Dst: dst, Egress: true, Local: true})
	if route.Code != exec.FIBSuccess || route.NeighbourMissing || route.Ifindex != to.Index {
		return false
	}
	copy(p.data, route.DstMAC[:])
	copy(p.data[6:], to.MAC[:])
	return true
}

const (
	typeIP   = 0x0800
	typeIPv6 = 0x86dd
)

// addresses are those of an IP packet.
func addresses(frame []byte) (src, dst netip.Addr, ok bool) {
	switch ip := frame[ethHeader:]; {
	case etherType(frame) == typeIP && len(ip) >= 20:
		return netip.AddrFrom4([4]byte(ip[12:])), netip.AddrFrom4([4]byte(ip[16:])), true
	case etherType(frame) == typeIPv6 && len(ip) >= 40:
		return netip.AddrFrom16([16]byte(ip[8:])), netip.AddrFrom16([16]byte(ip[24:])), true
	}
	return src, dst, false
}

// age lowers an IP packet's time to live, and reports whether it still lives.
func age(frame []byte) bool {
	ip := frame[ethHeader:]
	ttl := &ip[8]
	if etherType(frame) == typeIPv6 {
		ttl = &ip[7]
	}
	if *ttl <= 1 {
		return false
	}
	*ttl--
	if etherType(frame) == typeIP { // RFC 1624, for a word that sank by 0x0100
		sum := uint32(binary.BigEndian.Uint16(ip[10:])) + 0x0100
		binary.BigEndian.PutUint16(ip[10:], uint16(sum+sum>>16))
	}
	return true
}
