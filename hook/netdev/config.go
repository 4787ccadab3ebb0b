package netdev

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/internal/strictyaml"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/exec"
)

// Config describes a network, as net.yaml does. Interfaces are meant by their
// names, programs and maps by those that the object gives them.
type Config struct {
	// Input is the interface that the capture's packets arrive at. Optional where
	// there is one interface.
	Input      string            `yaml:"input"`
	Interfaces []InterfaceConfig `yaml:"interfaces"`
	// Attach are the programs at the hooks, those of one hook in their order.
	Attach []AttachConfig `yaml:"attach"`
	// Maps are the first entries of devmaps and cpumaps.
	Maps       map[string][]EntryConfig `yaml:"maps"`
	Routes     []RouteConfig            `yaml:"routes"`
	Neighbours []NeighbourConfig        `yaml:"neighbours"`
	MaxHops    int                      `yaml:"max_hops"` // 0: DefaultMaxHops

	name string // of the file, for messages
}

// InterfaceConfig is one interface. All but the name is optional.
type InterfaceConfig struct {
	Name    string   `yaml:"name"`
	Index   uint32   `yaml:"index"` // default: the place in the list, from 1
	MAC     string   `yaml:"mac"`   // default: 02:00:00:00:00:nn, from the index
	MTU     int      `yaml:"mtu"`   // default: 1500
	Queues  uint32   `yaml:"queues"`
	Netns   string   `yaml:"netns"`
	Peer    string   `yaml:"peer"`  // the other end of a veth pair; either end may say so
	Addrs   []string `yaml:"addrs"` // such as 192.0.2.1/24
	Forward bool     `yaml:"forward"`
}

// AttachConfig is a program at a hook.
type AttachConfig struct {
	If   string `yaml:"if"`
	Hook Hook   `yaml:"hook"`
	Prog string `yaml:"prog"`
}

// EntryConfig is an entry of a devmap (key, if, prog) or cpumap (cpu, qsize,
// prog).
type EntryConfig struct {
	Key   *uint32 `yaml:"key"`
	If    string  `yaml:"if"`
	CPU   *uint32 `yaml:"cpu"`
	Qsize uint32  `yaml:"qsize"` // default: 192
	Prog  string  `yaml:"prog"`
}

// RouteConfig is a way to a network: by an interface, via a gateway or not.
type RouteConfig struct {
	Dst string `yaml:"dst"`
	If  string `yaml:"if"`
	Via string `yaml:"via"`
}

// NeighbourConfig is the MAC address of a host on an interface's network.
type NeighbourConfig struct {
	If   string `yaml:"if"`
	Addr string `yaml:"addr"`
	MAC  string `yaml:"mac"`
}

// ParseConfig reads a description in YAML or JSON. The name is for messages.
func ParseConfig(name string, text []byte) (*Config, error) {
	c := &Config{name: name}
	if err := strictyaml.Decode(name, text, c); err != nil {
		return nil, err
	}
	if len(c.Interfaces) == 0 {
		return nil, fmt.Errorf("%s: it has no interfaces", name)
	}
	if c.Input == "" && len(c.Interfaces) == 1 {
		c.Input = c.Interfaces[0].Name
	}
	if c.Input == "" {
		return nil, fmt.Errorf("%s: it does not say at which interface packets arrive: add input: %s", name, c.Interfaces[0].Name)
	}
	return c, nil
}

// Programs are the programs that the description names, each once.
func (c *Config) Programs() []string {
	var all []string
	for _, a := range c.Attach {
		all = append(all, a.Prog)
	}
	for _, entries := range c.Maps {
		for _, e := range entries {
			if e.Prog != "" {
				all = append(all, e.Prog)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Build makes the network, still without programs.
func (c *Config) Build(opts Options) (*Network, error) {
	opts.MaxHops = cmp.Or(c.MaxHops, opts.MaxHops)
	n := New(opts)
	for at, ic := range c.Interfaces {
		i, err := ic.build(uint32(at + 1))
		if err == nil {
			err = n.AddInterface(i)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	for _, ic := range c.Interfaces {
		if err := c.pair(n, ic); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	if _, err := c.iface(n, c.Input, "input"); err != nil {
		return nil, err
	}
	if n.opts.Routes == nil {
		routes, err := c.routes(n)
		if err != nil {
			return nil, err
		}
		n.opts.Routes = routes
	}
	return n, nil
}

func (ic *InterfaceConfig) build(at uint32) (*Interface, error) {
	i := &Interface{
		Name: ic.Name, Index: cmp.Or(ic.Index, at), MTU: cmp.Or(ic.MTU, 1500),
		Queues: ic.Queues, Netns: ic.Netns, Forward: ic.Forward,
	}
	i.MAC = [6]byte{2, 0, byte(i.Index >> 24), byte(i.Index >> 16), byte(i.Index >> 8), byte(i.Index)}
	if ic.MAC == "" {
		return i, nil
	}
	var err error
	if i.MAC, err = parseMAC(ic.MAC); err != nil {
		return nil, fmt.Errorf("interface %s: %w", ic.Name, err)
	}
	return i, nil
}

func parseMAC(s string) (mac [6]byte, err error) {
	hw, err := net.ParseMAC(s)
	if err != nil || len(hw) != len(mac) {
		return mac, fmt.Errorf("%q is no MAC address such as 02:00:00:00:00:01", s)
	}
	return [6]byte(hw), nil
}

func (c *Config) pair(n *Network, ic InterfaceConfig) error {
	if ic.Peer == "" {
		return nil
	}
	i, peer := n.ByName(ic.Name), n.ByName(ic.Peer)
	if peer == nil {
		return fmt.Errorf("interface %s: its peer %s is missing; there is %s", ic.Name, ic.Peer, n.names())
	}
	if i.peer == peer {
		return nil // the other end said so
	}
	return n.Pair(i, peer)
}

// iface finds the interface that a part of the description names.
func (c *Config) iface(n *Network, name, where string) (*Interface, error) {
	if i := n.ByName(name); i != nil {
		return i, nil
	}
	return nil, fmt.Errorf("%s: %s: there is no interface %q; there is %s", c.name, where, name, n.names())
}

func (n *Network) names() string {
	var all []string
	for _, i := range n.interfaces {
		all = append(all, i.Name)
	}
	return strings.Join(all, ", ")
}

// routes are what the description says of addresses, routes and neighbours; nil
// where it says nothing.
func (c *Config) routes(n *Network) (exec.Net, error) {
	said := len(c.Routes) > 0 || len(c.Neighbours) > 0
	for _, i := range c.Interfaces {
		said = said || len(i.Addrs) > 0
	}
	if !said {
		return nil, nil
	}
	r := &exec.Routes{}
	for _, ic := range c.Interfaces {
		i := n.ByName(ic.Name)
		out := exec.Interface{Index: i.Index, MAC: i.MAC, MTU: i.MTU, Forwarding: i.Forward}
		for _, s := range ic.Addrs {
			addr, err := netip.ParsePrefix(s)
			if err != nil {
				return nil, fmt.Errorf("%s: interface %s: %q is no address with the length of its network, such as 192.0.2.1/24", c.name, ic.Name, s)
			}
			out.Addrs = append(out.Addrs, addr)
		}
		r.Interfaces = append(r.Interfaces, out)
	}
	for _, rc := range c.Routes {
		route, err := c.route(n, rc)
		if err != nil {
			return nil, err
		}
		r.Routes = append(r.Routes, route)
	}
	for _, nc := range c.Neighbours {
		i, err := c.iface(n, nc.If, "neighbour "+nc.Addr)
		if err != nil {
			return nil, err
		}
		addr, err := netip.ParseAddr(nc.Addr)
		if err != nil {
			return nil, fmt.Errorf("%s: neighbour of %s: %q is no IP address", c.name, nc.If, nc.Addr)
		}
		mac, err := parseMAC(nc.MAC)
		if err != nil {
			return nil, fmt.Errorf("%s: neighbour %s: %w", c.name, nc.Addr, err)
		}
		r.Neighbours = append(r.Neighbours, exec.Neighbour{Ifindex: i.Index, Addr: addr, MAC: mac})
	}
	return r, nil
}

func (c *Config) route(n *Network, rc RouteConfig) (exec.Route, error) {
	i, err := c.iface(n, rc.If, "route to "+rc.Dst)
	if err != nil {
		return exec.Route{}, err
	}
	dst, err := netip.ParsePrefix(rc.Dst)
	if err != nil {
		return exec.Route{}, fmt.Errorf("%s: route: %q is no network such as 192.0.2.0/24", c.name, rc.Dst)
	}
	route := exec.Route{Dst: dst, Ifindex: i.Index}
	if rc.Via != "" {
		if route.Gateway, err = netip.ParseAddr(rc.Via); err != nil {
			return exec.Route{}, fmt.Errorf("%s: route to %s: %q is no IP address", c.name, rc.Dst, rc.Via)
		}
	}
	return route, nil
}

// Connect attaches a collection's programs and fills its maps.
func (c *Config) Connect(n *Network, coll *vm.Collection) error {
	for _, a := range c.Attach {
		i, err := c.iface(n, a.If, "attach "+a.Prog)
		if err != nil {
			return err
		}
		prog, err := c.program(coll, a.Prog, "attach")
		if err != nil {
			return err
		}
		if err := n.Attach(i, a.Hook, prog); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	for name, entries := range c.Maps {
		m := coll.Maps[name]
		if m == nil {
			return fmt.Errorf("%s: maps: the programs use no map %s", c.name, name)
		}
		for _, e := range entries {
			if err := c.put(n, coll, m, e); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Config) program(coll *vm.Collection, name, where string) (*vm.Program, error) {
	if p := coll.Programs[name]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("%s: %s: there is no program %q", c.name, where, name)
}

// put puts one entry into a map.
func (c *Config) put(n *Network, coll *vm.Collection, m *vm.Map, e EntryConfig) error {
	where := "map " + m.Name()
	var key *uint32
	var to uint32
	switch m.Type() {
	case ebpf.DevMap, ebpf.DevMapHash:
		i, err := c.iface(n, e.If, where)
		if err != nil {
			return err
		}
		key, to = e.Key, i.Index
	case ebpf.CPUMap:
		key, to = e.CPU, cmp.Or(e.Qsize, hook.DefaultQueue)
	default:
		return fmt.Errorf("%s: %s is of type %s; entries can be given for DevMap, DevMapHash and CPUMap", c.name, where, m.Type())
	}
	if key == nil {
		return fmt.Errorf("%s: %s: an entry needs a key (devmap) or a cpu (cpumap)", c.name, where)
	}
	var p *vm.Program
	if e.Prog != "" {
		var err error
		if p, err = c.program(coll, e.Prog, where); err != nil {
			return err
		}
	}
	if err := PutEntry(m, *key, to, p); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return nil
}
