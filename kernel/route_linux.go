package kernel

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/internal/suggest"
)

func init() {
	for _, kind := range []string{"lwt_in", "lwt_out", "lwt_xmit", "lwt_seg6local"} {
		families[kind], sweepers[kind] = planRoute, sweepRoute
	}
}

// lwtOK is BPF_OK, with which a packet goes its way.
const lwtOK = 0

// planRoute attaches to a route of the main table, DESTINATION@INTERFACE, which takes one
// program. It is put back as it was in the end.
func planRoute(_ *Collection, prog *ebpf.Program, at hook.Point) (func() (io.Closer, error), error) {
	w, err := openRoute(at)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if at.Kind.Prog == ebpf.LWTSeg6Local && !w.to.Addr().Is6() {
		return nil, fmt.Errorf("%s: segments are routed in IPv6 alone", at)
	}
	r, err := w.find()
	if err != nil {
		return nil, err
	}
	if r.Encap != nil && !swept(r.Encap) {
		return nil, fmt.Errorf("the route to %s by %s has an encapsulation already: %s", w.to, w.by.Name, r.Encap)
	}
	return func() (io.Closer, error) { return attachRoute(prog, at) }, nil
}

func attachRoute(prog *ebpf.Program, at hook.Point) (_ *standIn, err error) {
	w, err := openRoute(at)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			w.Close()
		}
	}()
	r, err := w.find()
	if err != nil {
		return nil, err
	}
	stand, err := newStandIn(prog, at.Kind.Attach, lwtOK)
	if err != nil {
		return nil, err
	}
	if r.Encap, err = encap(stand, prog.Type()); err == nil {
		err = w.RouteChange(r)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("change the route to %s by %s: %w", w.to, w.by.Name, err), stand.Close())
	}
	stand.net, stand.detach = w.Handle, func() error { return w.restore(r) }
	return stand, nil
}

// lwtPlaces are where programs of a route's encapsulation run.
var lwtPlaces = map[ebpf.ProgramType]int{ebpf.LWTIn: nl.LWT_BPF_IN, ebpf.LWTOut: nl.LWT_BPF_OUT, ebpf.LWTXmit: nl.LWT_BPF_XMIT}

// encap makes an encapsulation that runs a stand-in, and has its number in its name: Linux
// gives no other when it is asked what a route runs.
func encap(stand *standIn, typ ebpf.ProgramType) (netlink.Encap, error) {
	info, err := stand.Info()
	if err != nil {
		return nil, err
	}
	id, _ := info.ID()
	name := fmt.Sprintf("skep:%d", id)
	if place, ok := lwtPlaces[typ]; ok {
		e := new(netlink.BpfEncap)
		return e, e.SetProg(place, stand.FD(), name)
	}
	e := &netlink.SEG6LocalEncap{Action: nl.SEG6_LOCAL_ACTION_END_BPF}
	e.Flags[nl.SEG6_LOCAL_ACTION], e.Flags[nl.SEG6_LOCAL_BPF] = true, true
	return e, e.SetProg(stand.FD(), name)
}

var encapName = regexp.MustCompile(`skep:([0-9]+)`)

// swept says whether an encapsulation is that of a skep which has gone.
func swept(e netlink.Encap) bool {
	found := encapName.FindStringSubmatch(e.String())
	if found == nil {
		return false
	}
	id, err := strconv.ParseUint(found[1], 10, 32)
	if err != nil {
		return false
	}
	dead, err := leftOver(ebpf.ProgramID(id))
	return dead && err == nil
}

// sweepRoute puts a route back whose program does nothing any more. A route that has gone
// has none, and one of another network namespace keeps it for the next skep there.
func sweepRoute(at hook.Point) error {
	w, err := openRoute(at)
	if err != nil {
		return nil
	}
	defer w.Close()
	r, err := w.find()
	if err != nil || r.Encap == nil || !swept(r.Encap) {
		return nil
	}
	return w.restore(r)
}

// way is where a route leads.
type way struct {
	*netlink.Handle // in the interface's network namespace
	to              netip.Prefix
	by              *net.Interface
}

func openRoute(at hook.Point) (*way, error) {
	text, name, ok := strings.Cut(at.Target, "@")
	if !ok {
		return nil, fmt.Errorf("%s: want %s, such as %s", at, at.Kind.Wants, at.Kind.Example)
	}
	to, err := netip.ParsePrefix(text)
	if err != nil {
		return nil, fmt.Errorf("%s: the destination: %w", at, err)
	}
	by, err := interfaceNamed(name)
	if err != nil {
		return nil, err
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	return &way{h, to.Masked(), by}, nil
}

// find gives the route, if it is there and the only one to its destination.
func (w *way) find() (*netlink.Route, error) {
	family := netlink.FAMILY_V4
	if w.to.Addr().Is6() {
		family = netlink.FAMILY_V6
	}
	all, err := w.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	var found *netlink.Route
	var others []string
	for _, r := range all {
		switch {
		case r.LinkIndex == w.by.Index && r.Dst.String() != w.to.String():
			others = append(others, r.Dst.String())
		case r.Dst.String() != w.to.String():
		case found != nil || r.LinkIndex != w.by.Index:
			return nil, fmt.Errorf("there are several routes to %s, by other ways than %s, and a program at one may come to another: leave one of them", w.to, w.by.Name)
		default:
			found = &r
		}
	}
	if found == nil {
		return nil, fmt.Errorf("there is no route to %s by %s%s (make one with 'ip route add %[1]s dev %[2]s')", w.to, w.by.Name, suggest.Name(w.to.String(), others))
	}
	return found, nil
}

// restore takes the encapsulation from a route, if the route is still there.
func (w *way) restore(r *netlink.Route) error {
	plain := *r
	plain.Encap = nil
	err := w.RouteChange(&plain)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}
