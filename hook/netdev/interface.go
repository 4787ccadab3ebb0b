package netdev

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/vm"
)

// Interface is a network interface (in Linux: struct net_device).
type Interface struct {
	Index uint32 // from 1
	Name  string
	MAC   [6]byte
	MTU   int // bytes behind the Ethernet header
	// Queues is how many receive queues there are; packets are spread over them by
	// their flow. 0: one.
	Queues uint32
	// Netns is the network namespace: redirects by index stay within it.
	Netns string
	// Forward makes the stack pass on packets that the routes send elsewhere.
	Forward bool

	// Counters are the counts so far.
	Counters
	// Runs counts what programs returned at the interface's hooks.
	Runs []*Runs
	// Reasons counts the drops that no program wanted, each kind by a sentence.
	Reasons map[string]uint64

	peer            *Interface
	xdp             *vm.Program
	ingress, egress []*vm.Program
}

// Counters count packets at an interface.
type Counters struct {
	RX       uint64 // arrived
	TX       uint64 // left
	Drop     uint64 // ended here, by a program's verdict or an error
	Redirect uint64 // sent elsewhere by a program here
	Stack    uint64 // delivered to this host
	Forward  uint64 // passed on by the stack
	Err      uint64 // drops that no program wanted: no such interface, too long
	Loop     uint64 // drops of packets that had passed too many interfaces
}

// Runs counts what a program returned at a hook.
type Runs struct {
	Hook     Hook
	Program  string
	Verdicts map[string]uint64
}

// Hook is a place where programs see a packet, as sections name it.
type Hook string

// The hooks.
const (
	XDP        Hook = "xdp"
	TCXIngress Hook = "tcx/ingress"
	TCXEgress  Hook = "tcx/egress"
	// Programs of devmaps and cpumaps run where the map's packets go to.
	XDPDevMap Hook = "xdp/devmap"
	XDPCPUMap Hook = "xdp/cpumap"
)

// maxFrame is the longest frame that the interface takes: Linux leaves room for
// a VLAN tag.
func (i *Interface) maxFrame() int { return i.MTU + ethHeader + vlanTag }

const (
	ethHeader = 14 // bytes
	vlanTag   = 4  // bytes
)

// AddInterface adds an interface. Names and indexes are unique in the network.
func (n *Network) AddInterface(i *Interface) error {
	switch {
	case i.Name == "" || i.Index == 0:
		return fmt.Errorf("add interface %q with index %d: it needs a name, and an index from 1", i.Name, i.Index)
	case n.ByName(i.Name) != nil:
		return fmt.Errorf("add interface %s: there is one of this name already", i.Name)
	case n.ByIndex(i.Index) != nil:
		return fmt.Errorf("add interface %s: its index, %d, is that of %s", i.Name, i.Index, n.ByIndex(i.Index).Name)
	case i.MTU < minMTU || i.MTU > maxMTU:
		return fmt.Errorf("add interface %s: its MTU is %d; it lies between %d and %d", i.Name, i.MTU, minMTU, maxMTU)
	}
	n.addNamespace(i.Netns)
	i.Queues = max(i.Queues, 1)
	n.interfaces = append(n.interfaces, i)
	slices.SortFunc(n.interfaces, func(a, b *Interface) int { return cmp.Compare(a.Index, b.Index) })
	return nil
}

// addNamespace gives a network namespace its cookie: its place behind the first
// one, which has no name and in Linux the cookie 1.
func (n *Network) addNamespace(name string) {
	if _, ok := n.namespaces[name]; !ok && name != "" {
		n.namespaces[name] = uint64(len(n.namespaces)) + 2
	}
}

const (
	minMTU = 68    // ETH_MIN_MTU
	maxMTU = 65535 // ETH_MAX_MTU
)

// Interfaces are the network's interfaces, by index.
func (n *Network) Interfaces() []*Interface { return n.interfaces }

// ByName finds an interface; nil where there is none.
func (n *Network) ByName(name string) *Interface {
	return n.find(func(i *Interface) bool { return i.Name == name })
}

// ByIndex finds an interface; nil where there is none.
func (n *Network) ByIndex(index uint32) *Interface {
	return n.find(func(i *Interface) bool { return i.Index == index })
}

func (n *Network) find(is func(*Interface) bool) *Interface {
	if at := slices.IndexFunc(n.interfaces, is); at >= 0 {
		return n.interfaces[at]
	}
	return nil
}

// Pair makes two interfaces a veth pair: what one transmits the other receives.
func (n *Network) Pair(a, b *Interface) error {
	for _, i := range []*Interface{a, b} {
		if i.peer != nil {
			return fmt.Errorf("pair %s with %s: %s is the peer of %s already", a.Name, b.Name, i.Name, i.peer.Name)
		}
	}
	if a == b {
		return fmt.Errorf("pair %s with itself: a veth pair is two interfaces", a.Name)
	}
	a.peer, b.peer = b, a
	return nil
}

// Attach attaches a program at a hook. An interface has one XDP program, and any
// number at the tcx hooks, which run in the order in which they were attached.
func (n *Network) Attach(i *Interface, hook Hook, p *vm.Program) error {
	want := map[Hook]ebpf.ProgramType{XDP: ebpf.XDP, TCXIngress: ebpf.SchedCLS, TCXEgress: ebpf.SchedCLS}[hook]
	at := fmt.Sprintf("attach program %s to %s at %s", p.Name(), i.Name, hook)
	switch attach := p.AttachType(); {
	case want == ebpf.UnspecifiedProgram:
		return fmt.Errorf("%s: there is no such hook; there is %s, %s, %s", at, XDP, TCXIngress, TCXEgress)
	case p.Type() != want:
		return fmt.Errorf("%s: the program is of type %s, and the hook takes %s", at, p.Type(), want)
	case attach == ebpf.AttachXDPDevMap || attach == ebpf.AttachXDPCPUMap:
		return fmt.Errorf("%s: it was written for a map (section %s): put it into one", at, map[ebpf.AttachType]Hook{
			ebpf.AttachXDPDevMap: XDPDevMap, ebpf.AttachXDPCPUMap: XDPCPUMap}[attach])
	case hook == XDP && i.xdp != nil:
		return fmt.Errorf("%s: program %s is there already, and an interface has one", at, i.xdp.Name())
	}
	switch hook {
	case XDP:
		i.xdp = p
	case TCXIngress:
		i.ingress = append(i.ingress, p)
	case TCXEgress:
		i.egress = append(i.egress, p)
	}
	i.runs(hook, p.Name())
	return nil
}

// Detach detaches a program from a hook. What it returned stays counted.
func (n *Network) Detach(i *Interface, hook Hook, p *vm.Program) {
	is := func(q *vm.Program) bool { return q == p }
	switch {
	case hook == XDP && i.xdp == p:
		i.xdp = nil
	case hook == TCXIngress:
		i.ingress = slices.DeleteFunc(i.ingress, is)
	case hook == TCXEgress:
		i.egress = slices.DeleteFunc(i.egress, is)
	}
}

// runs are the counts of a program at a hook.
func (i *Interface) runs(hook Hook, program string) *Runs {
	for _, r := range i.Runs {
		if r.Hook == hook && r.Program == program {
			return r
		}
	}
	r := &Runs{Hook: hook, Program: program, Verdicts: make(map[string]uint64)}
	i.Runs = append(i.Runs, r)
	return r
}
