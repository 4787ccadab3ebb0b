package world

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/sched"
)

// World answers what helpers ask. It is made of a [Description].
type World struct {
	tasks   tasks
	sockets sockets
	cgroups cgroups
	routes  exec.Routes
	perf    perf
	sysctl  *exec.Sysctl
	paths   map[uint64]string
	symbols map[string]uint64
	hashes  map[uint64]exec.Measurement
	files   files

	conntrack *exec.Conntrack
	sched     *sched.Sched
}

// Into makes an environment ask this world.
func (w *World) Into(env *exec.Env) {
	env.Tasks, env.Sockets, env.Cgroups, env.Net = &w.tasks, &w.sockets, &w.cgroups, &w.routes
	env.Perf, env.Conntrack = &w.perf, w.conntrack
	env.Sysctl, env.Paths, env.Symbols = w.sysctl, w.paths, w.symbols
	env.Measurements, env.Files = w.hashes, &w.files
	env.Sched = w.sched
}

// SetCurrent says which thread programs run in from now on; 0: none.
// It must not be called while programs run.
func (w *World) SetCurrent(pid uint32) error {
	if pid != 0 && w.tasks.Task(pid) == nil {
		return fmt.Errorf("current: there is no process %d", pid)
	}
	w.tasks.current = w.tasks.Task(pid)
	return nil
}

// SetSocket says which socket contexts belong to from now on; "": none.
// It must not be called while programs run.
func (w *World) SetSocket(name string) error {
	k, ok := w.sockets.byName[name]
	if name != "" && !ok {
		return fmt.Errorf("current: there is no socket %q", name)
	}
	w.sockets.current = k
	return nil
}

// New makes a world.
func New(d *Description) (*World, error) {
	w := &World{paths: d.Paths, symbols: d.Symbols, conntrack: exec.NewConntrack()}
	if d.Sysctl != nil {
		w.sysctl = &exec.Sysctl{Name: d.Sysctl.Name, Value: d.Sysctl.Value, New: d.Sysctl.New}
	}
	var err error
	if w.hashes, err = measurements(d.Measurements); err != nil {
		return nil, err
	}
	if err := w.files.add(d.Files); err != nil {
		return nil, err
	}
	if err := w.cgroups.add(d.Cgroups); err != nil {
		return nil, err
	}
	if err := w.network(d); err != nil {
		return nil, err
	}
	if err := w.tasks.add(d.Processes, &w.cgroups); err != nil {
		return nil, err
	}
	if err := w.sockets.add(d.Sockets, w); err != nil {
		return nil, err
	}
	if err := w.connections(d.Conntrack); err != nil {
		return nil, err
	}
	if err := w.perf.add(d); err != nil {
		return nil, err
	}
	if err := w.cgroups.place(); err != nil {
		return nil, err
	}
	if w.sched, err = w.schedule(d.Sched); err != nil {
		return nil, fmt.Errorf("sched: %w", err)
	}
	if err := w.SetCurrent(d.Current.PID); err != nil {
		return nil, err
	}
	if err := w.SetSocket(d.Current.Socket); err != nil {
		return nil, err
	}
	return w, nil
}

// network fills the tables of interfaces, routes and neighbours.
func (w *World) network(d *Description) error {
	for _, i := range d.Interfaces {
		if i.Index == 0 || i.Name == "" {
			return fmt.Errorf("interface %q with index %d: want a name, and an index from 1", i.Name, i.Index)
		}
		if i.MTU == 0 {
			i.MTU = 1500
		}
		if _, err := w.device(i.Name); err == nil || slices.ContainsFunc(w.routes.Interfaces, func(o exec.Interface) bool { return o.Index == i.Index }) {
			return fmt.Errorf("interface %s, index %d: name or index is another's", i.Name, i.Index)
		}
		w.routes.Interfaces = append(w.routes.Interfaces, exec.Interface{
			Index: i.Index, Name: i.Name, MAC: i.MAC, MTU: i.MTU, Addrs: i.Addresses, Forwarding: i.Forwarding, NetNS: i.NetNS,
		})
	}
	for _, i := range d.Interfaces {
		w.conntrack.AddNetNS(i.NetNS)
	}
	for _, r := range d.Routes {
		route, err := w.route(&r)
		if err != nil {
			return fmt.Errorf("route to %s: %w", r.To, err)
		}
		w.routes.Routes = append(w.routes.Routes, route...)
	}
	for _, n := range d.Neighbours {
		index, err := w.device(n.Dev)
		if err != nil {
			return fmt.Errorf("neighbour %s: %w", n.Addr, err)
		}
		w.routes.Neighbours = append(w.routes.Neighbours, exec.Neighbour{Ifindex: index, Addr: n.Addr, MAC: n.MAC})
	}
	return nil
}

var kinds = map[string]exec.RouteKind{
	"": exec.Unicast, "unicast": exec.Unicast, "blackhole": exec.Blackhole,
	"unreachable": exec.Unreachable, "prohibit": exec.Prohibit, "local": exec.Local,
}

// route gives the entries of a route: two where "default" leaves the family open.
func (w *World) route(r *Route) ([]exec.Route, error) {
	kind, ok := kinds[r.Type]
	if !ok {
		return nil, fmt.Errorf("type %s; there is unicast, blackhole, unreachable, prohibit, local", r.Type)
	}
	out := exec.Route{
		Kind: kind, Gateway: r.Via, Src: r.Src, Metric: r.Metric, MTU: r.MTU, Table: r.Table, NetNS: r.NetNS,
	}
	if kind == exec.Unicast {
		var err error
		if out.Ifindex, err = w.device(r.Dev); err != nil {
			return nil, err
		}
	}
	if r.To != "default" {
		var err error
		out.Dst, err = netip.ParsePrefix(r.To)
		return []exec.Route{out}, err
	}
	v4, v6 := out, out
	v4.Dst, v6.Dst = netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	switch {
	case r.Via.Is4():
		return []exec.Route{v4}, nil
	case r.Via.Is6():
		return []exec.Route{v6}, nil
	}
	return []exec.Route{v4, v6}, nil
}

// device is the index of an interface.
func (w *World) device(name string) (uint32, error) {
	var names []string
	for _, i := range w.routes.Interfaces {
		if i.Name == name {
			return i.Index, nil
		}
		names = append(names, i.Name)
	}
	return 0, fmt.Errorf("there is no interface %q among %s", name, strings.Join(names, ", "))
}
