package machine

import (
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/kernel"
	"github.com/skep-ebpf/skep/program"
)

// Kernel is the Linux that runs here.
func Kernel() Machine { return linux{} }

type linux struct{}

func (linux) Name() string { return "the kernel" }

func (linux) Load(p *program.Program, opts *Options) (Collection, error) {
	c, err := kernel.Load(p, &kernel.Options{Programs: opts.Programs, Link: opts.Link, At: opts.At})
	if err != nil {
		return nil, err
	}
	return &KernelCollection{c}, nil
}

// KernelCollection is an object that is loaded into the kernel.
type KernelCollection struct{ *kernel.Collection }

// Spec implements [Collection].
func (c *KernelCollection) Spec() *ebpf.CollectionSpec { return c.Collection.Spec }

// Map implements [Collection].
func (c *KernelCollection) Map(name string) Map {
	if m := c.Maps[name]; m != nil {
		return m
	}
	return nil
}

// Run implements [Collection].
func (c *KernelCollection) Run(program string, opts *ebpf.RunOptions) (uint32, error) {
	p := c.Programs[program]
	if p == nil {
		return 0, noProgram(program)
	}
	return p.Run(opts)
}

// Attach implements [Collection].
func (c *KernelCollection) Attach(at []hook.Attachment) ([]Link, error) {
	attached, err := c.Collection.Attach(at)
	links := make([]Link, len(attached))
	for i, l := range attached {
		links[i] = l
	}
	return links, err
}

// Events implements [Collection].
func (c *KernelCollection) Events(name string) (Events, error) {
	e, err := c.Collection.Events(name)
	if err != nil {
		return nil, err
	}
	return e, nil
}

func noProgram(name string) error { return fmt.Errorf("the object has no program %s", name) }
