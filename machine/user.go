package machine

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/hook/netdev"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/exec"
)

// UserOptions say what skep's own machine is like.
type UserOptions struct {
	// Programs say how programs are executed, and what they find around them. Link is
	// that of [Options], and what programs print is for [Collection.Printed].
	Programs vm.ProgramOptions
	// Network are the interfaces that programs can be attached to. Optional.
	Network *netdev.Network
}

// User is skep's own machine.
func User(opts *UserOptions) Machine { return user{opts} }

type user struct{ *UserOptions }

func (user) Name() string { return "skep's own machine" }

func (u user) Load(p *program.Program, opts *Options) (Collection, error) {
	if err := hook.Together(opts.At); err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	names := opts.Programs
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(p.Spec.Programs))
	}
	spec, err := program.Subset(p.Spec, names...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	aim(spec, opts.At)
	bind(spec)
	progs, text, streams := u.Programs, newPrinted(), newPrinted()
	env := new(exec.Env)
	if progs.Env != nil {
		*env = *progs.Env
	}
	env.Printk = func(msg string) { text.add("", msg) }
	env.Stream = func(to exec.Stream, text string) { streams.add(to.String(), text) }
	progs.Link, progs.Env = opts.Link, env
	var iter *iterator
	if slices.ContainsFunc(opts.At, func(a hook.Attachment) bool { return a.Point.Kind.Name == "iter" }) {
		if iter, err = newIterator(spec, &opts.Link, env); err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
	}
	coll, err := vm.NewCollectionWithOptions(spec, vm.CollectionOptions{Programs: progs})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	return &UserCollection{Collection: coll, spec: spec, network: u.Network, printed: text, streams: streams, env: env, iterator: iter, name: p.Name}, nil
}

// bind loads XDP programs that ask drivers about packets for one device, as Linux wants it:
// the machine's interfaces are its own, and no object can say so itself.
func bind(spec *ebpf.CollectionSpec) {
	const devBoundOnly = 1 << 6 // BPF_F_XDP_DEV_BOUND_ONLY
	asks := func(ins asm.Instruction) bool {
		ext := program.ExternOf(&ins)
		return ext != nil && strings.HasPrefix(ext.Name, "bpf_xdp_metadata_rx_")
	}
	for name, p := range spec.Programs {
		if p.Type == ebpf.XDP && slices.ContainsFunc(p.Instructions, asks) {
			p = p.Copy()
			p.Flags |= devBoundOnly
			spec.Programs[name] = p
		}
	}
}

// aim makes programs those of the points at which they will be attached.
func aim(spec *ebpf.CollectionSpec, at []hook.Attachment) {
	for _, a := range at {
		if p := spec.Programs[a.Program]; p != nil {
			p = p.Copy()
			a.Point.Aim(p)
			spec.Programs[a.Program] = p
		}
	}
}

// UserCollection is an object that is loaded into skep's own machine.
type UserCollection struct {
	*vm.Collection
	spec     *ebpf.CollectionSpec
	network  *netdev.Network
	printed  *printed
	streams  *printed
	env      *exec.Env
	iterator *iterator // nil: no program is attached to one
	name     string    // of the object, for messages
	links    []*userLink
}

// Spec implements [Collection].
func (c *UserCollection) Spec() *ebpf.CollectionSpec { return c.spec }

// Map implements [Collection].
func (c *UserCollection) Map(name string) Map {
	if m := c.Maps[name]; m != nil {
		return m
	}
	return nil
}

// Run implements [Collection].
func (c *UserCollection) Run(program string, opts *ebpf.RunOptions) (uint32, error) {
	p := c.Programs[program]
	if p == nil {
		return 0, noProgram(program)
	}
	return p.Run(opts)
}

// Attach implements [Collection].
func (c *UserCollection) Attach(at []hook.Attachment) ([]Link, error) {
	attach := make([]func() (*userLink, error), len(at))
	for i, a := range at {
		var err error
		if attach[i], err = c.plan(a); err != nil {
			return nil, fmt.Errorf("%s: program %s: %w", c.name, a.Program, err)
		}
	}
	var links []Link
	for i := range at {
		l, err := attach[i]()
		if err != nil {
			for _, l := range links {
				err = errors.Join(err, l.Close())
			}
			return nil, fmt.Errorf("%s: attach program %s to %s: %w", c.name, at[i].Program, at[i].Point, err)
		}
		links = append(links, l)
		c.links = append(c.links, l)
	}
	return links, nil
}

// Detach implements [Collection].
func (c *UserCollection) Detach() error {
	var errs []error
	for _, l := range slices.Backward(c.links) {
		errs = append(errs, l.Close())
	}
	c.links = nil
	return errors.Join(errs...)
}

// Close implements [Collection].
func (c *UserCollection) Close() error {
	err := c.Detach()
	c.Collection.Close()
	return err
}
