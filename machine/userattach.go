package machine

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/hook/netdev"
	"github.com/skep-ebpf/skep/hook/timer"
	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/suggest"
	"github.com/skep-ebpf/skep/vm"
)

// networkHooks are the hooks of a virtual network by the kinds of hooks that they are.
var networkHooks = map[string]netdev.Hook{
	"xdp":         netdev.XDP,
	"tcx/ingress": netdev.TCXIngress,
	"tcx/egress":  netdev.TCXEgress,
	"xdp/devmap":  netdev.XDPDevMap,
	"xdp/cpumap":  netdev.XDPCPUMap,
}

// SeesPackets reports whether packets come by at a point of a virtual network.
func SeesPackets(p hook.Point) bool { return networkHooks[p.Kind.Name] != "" }

// UserMakes says why nothing happens at a point of skep's own machine while nobody sends
// it packets; nil where something does.
func UserMakes(p hook.Point) error {
	switch {
	case SeesPackets(p):
		return fmt.Errorf("no packets come by at %s in skep's own machine: give some with --pcap", p)
	case p.Kind.Name == "iter":
		return iterates(p)
	case p.Kind.Name == "timer", p.Kind.Name == "syscall":
		return nil
	}
	return onlyKernel(p)
}

// onlyKernel says what to do instead of attaching a program to a point that skep's own
// machine does not have.
func onlyKernel(p hook.Point) error {
	return fmt.Errorf("nothing happens at %s in skep's own machine: run it in the kernel, or give the program one context with --ctx", p)
}

// plan finds the place of an attachment, and gives what attaches.
func (c *UserCollection) plan(a hook.Attachment) (func() (*userLink, error), error) {
	prog := c.Programs[a.Program]
	if prog == nil {
		return nil, noProgram(a.Program)
	}
	if at, ok := networkHooks[a.Point.Kind.Name]; ok {
		return c.planNetwork(a, at, prog)
	}
	switch a.Point.Kind.Name {
	case "iter":
		return c.planIterator(a, prog)
	case "syscall":
		return func() (*userLink, error) { return &userLink{point: a.Point}, runSyscall(prog) }, nil
	case "timer":
		period, err := timer.Period(a.Point)
		return func() (*userLink, error) {
			t := timer.Start(period, func() error { return runSyscall(prog) })
			return &userLink{point: a.Point, detach: t.Close}, nil
		}, err
	}
	return nil, onlyKernel(a.Point)
}

// syscallContext is how much context programs of type syscall find, all of it 0, as in
// the kernel.
const syscallContext = 4096

// runSyscall runs a program of type syscall. A negative result is an error number.
func runSyscall(prog *vm.Program) error {
	result, err := prog.Run(&ebpf.RunOptions{Context: make([]byte, syscallContext)})
	if n := int32(result); err == nil && n < 0 {
		err = fmt.Errorf("it returned %d (%w)", n, errno.Errno(-n))
	}
	return err
}

// planNetwork attaches a program to an interface of the network.
func (c *UserCollection) planNetwork(a hook.Attachment, at netdev.Hook, prog *vm.Program) (func() (*userLink, error), error) {
	if c.network == nil {
		return nil, UserMakes(a.Point)
	}
	if a.Point.Kind.InMap() {
		return c.planEntry(a, prog)
	}
	i, err := c.networkInterface(a.Point, a.Point.Target)
	if err != nil {
		return nil, err
	}
	return func() (*userLink, error) {
		if err := c.network.Attach(i, at, prog); err != nil {
			return nil, err
		}
		return &userLink{point: a.Point, detach: func() error { c.network.Detach(i, at, prog); return nil }}, nil
	}, nil
}

// networkInterface finds an interface of the network.
func (c *UserCollection) networkInterface(at hook.Point, name string) (*netdev.Interface, error) {
	if i := c.network.ByName(name); i != nil {
		return i, nil
	}
	var names []string
	for _, i := range c.network.Interfaces() {
		names = append(names, i.Name)
	}
	return nil, fmt.Errorf("%s: the network has no interface %q; it has %s", at, name, strings.Join(names, ", "))
}

// planEntry puts a program into a map, for what is redirected there.
func (c *UserCollection) planEntry(a hook.Attachment, prog *vm.Program) (func() (*userLink, error), error) {
	e, err := a.Point.Entry()
	if err != nil {
		return nil, err
	}
	m := c.Maps[e.Map]
	if m == nil {
		return nil, fmt.Errorf("the programs use no map %s%s", e.Map, suggest.Name(e.Map, slices.Collect(maps.Keys(c.Maps))))
	}
	if err := e.Takes(a.Point.Kind, m); err != nil {
		return nil, err
	}
	to := e.Queue
	if e.Interface != "" {
		i, err := c.networkInterface(a.Point, e.Interface)
		if err != nil {
			return nil, err
		}
		to = i.Index
	}
	return func() (*userLink, error) {
		if err := netdev.PutEntry(m, e.Key, to, prog); err != nil {
			return nil, err
		}
		return &userLink{point: a.Point, detach: func() error { return m.Delete(e.Key) }}, nil
	}, nil
}
