package exec

import (
	"net/netip"
	"slices"
)

// Routes is a [Net] made of tables that the caller fills before the run. Lookups
// go through them one by one: it serves tests and small networks.
type Routes struct {
	Interfaces []Interface
	Routes     []Route
	Neighbours []Neighbour
}

// Interface is a network interface of [Routes].
type Interface struct {
	Index uint32
	Name  string
	MAC   [6]byte
	MTU   int // bytes
	// Addrs are its addresses; their networks need no route of their own.
	Addrs []netip.Prefix
	// Forwarding says that it passes on packets that are not for this host.
	Forwarding bool
	NetNS      uint64 // cookie of its network namespace; 0: the first one
}

// Route is a way to a network.
type Route struct {
	Dst     netip.Prefix
	Kind    RouteKind
	Ifindex uint32     // interface to leave by
	Gateway netip.Addr // unset: the destination is on the interface's network
	Src     netip.Addr // address to send from; unset: the interface's first
	Metric  uint32     // of two routes to one network, the lower one is taken
	MTU     int        // bytes; 0: the interface's
	Table   uint32     // 0: the main table
	NetNS   uint64     // of one without an interface, the network namespace that it is in
}

// Interfaces is a [Net] that knows its interfaces.
type Interfaces interface {
	// Interface describes the one of an index, and reports whether there is one.
	Interface(index uint32) (Interface, bool)
}

// RouteKind is what becomes of packets that take a route.
type RouteKind uint8

// The kinds of routes.
const (
	Unicast RouteKind = iota
	Blackhole
	Unreachable
	Prohibit
	Local // for this host
)

// Neighbour is the link-layer address of a host on an interface's network.
type Neighbour struct {
	Ifindex uint32
	Addr    netip.Addr
	MAC     [6]byte
}

// mainTable is the number of the table that routes are in by default.
const mainTable = 254

// MTU implements [Net].
func (r *Routes) MTU(ifindex uint32) int {
	if i := r.iface(ifindex); i != nil {
		return i.MTU
	}
	return 0
}

// Interface implements [Interfaces].
func (r *Routes) Interface(index uint32) (Interface, bool) {
	if i := r.iface(index); i != nil {
		return *i, true
	}
	return Interface{}, false
}

// NetNS implements [Net].
func (r *Routes) NetNS(ifindex uint32) uint64 {
	if i := r.iface(ifindex); i != nil {
		return i.NetNS
	}
	return 0
}

// FIB implements [Net].
func (r *Routes) FIB(q FIBQuery) FIBResult {
	in := r.iface(q.Ifindex)
	if in == nil || !in.Forwarding && !q.Local {
		return FIBResult{Code: FIBForwardingDisabled}
	}
	route, ok := r.route(&q, in.NetNS)
	if !ok {
		return FIBResult{Code: FIBNotForwarded}
	}
	switch route.Kind {
	case Blackhole:
		return FIBResult{Code: FIBBlackhole}
	case Unreachable:
		return FIBResult{Code: FIBUnreachable}
	case Prohibit:
		return FIBResult{Code: FIBProhibit}
	case Local:
		return FIBResult{Code: FIBNotForwarded}
	}
	out := r.iface(route.Ifindex)
	if out == nil {
		return FIBResult{Code: FIBNotForwarded}
	}
	res := FIBResult{
		Ifindex: out.Index, Gateway: route.Gateway, Metric: route.Metric,
		MTU: uint16(min(out.MTU, 0xffff)), SrcMAC: out.MAC,
	}
	if route.MTU != 0 {
		res.MTU = uint16(min(route.MTU, 0xffff))
	}
	res.Src = route.Src
	if !res.Src.IsValid() {
		res.Src = out.source(q.Dst)
	}
	hop := q.Dst
	if route.Gateway.IsValid() {
		hop = route.Gateway
	}
	i := slices.IndexFunc(r.Neighbours, func(n Neighbour) bool { return n.Ifindex == out.Index && n.Addr == hop })
	if i < 0 {
		res.NeighbourMissing = true
	} else {
		res.DstMAC = r.Neighbours[i].MAC
	}
	return res
}

// route is the way in a network namespace to the longest matching network, and among
// equals the one of the lowest metric.
func (r *Routes) route(q *FIBQuery, netns uint64) (best Route, ok bool) {
	take := func(c Route) {
		switch {
		case c.NetNS != netns:
		case !c.Dst.Contains(q.Dst) || q.Egress && c.Kind == Unicast && c.Ifindex != q.Ifindex:
		case !ok || c.Dst.Bits() > best.Dst.Bits() || c.Dst.Bits() == best.Dst.Bits() && c.Metric < best.Metric:
			best, ok = c, true
		}
	}
	table := q.Table
	if table == 0 {
		table = mainTable
	}
	if table == mainTable {
		for i := range r.Interfaces {
			in := &r.Interfaces[i]
			for _, a := range in.Addrs {
				take(Route{Dst: netip.PrefixFrom(a.Addr(), a.Addr().BitLen()), Kind: Local, NetNS: in.NetNS})
				take(Route{Dst: a.Masked(), Ifindex: in.Index, Src: a.Addr(), NetNS: in.NetNS})
			}
		}
	}
	for _, c := range r.Routes {
		if c.Ifindex != 0 {
			c.NetNS = r.NetNS(c.Ifindex)
		}
		if c.Table == table || c.Table == 0 && table == mainTable {
			take(c)
		}
	}
	return best, ok
}

func (r *Routes) iface(index uint32) *Interface {
	for i := range r.Interfaces {
		if r.Interfaces[i].Index == index {
			return &r.Interfaces[i]
		}
	}
	return nil
}

// source is the interface's first address of the destination's family.
func (i *Interface) source(dst netip.Addr) netip.Addr {
	for _, a := range i.Addrs {
		if a.Addr().Is4() == dst.Is4() {
			return a.Addr()
		}
	}
	return netip.Addr{}
}
