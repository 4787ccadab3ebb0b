package machine

import (
	"errors"
	"fmt"
	"io"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/kernel"
	"github.com/skep-ebpf/skep/program"
)

// KernelOptions say what is done beside loading.
type KernelOptions struct {
	// Log is written to what the kernel's verifier says of each program. Optional.
	Log io.Writer
}

// Kernel is the Linux that runs here.
func Kernel(opts *KernelOptions) Machine { return linux{opts} }

type linux struct{ *KernelOptions }

func (linux) Name() string { return "the kernel" }

func (l linux) Load(p *program.Program, opts *Options) (Collection, error) {
	c, err := kernel.Load(p, &kernel.Options{Programs: opts.Programs, Link: opts.Link, At: opts.At, Log: l.Log, Watch: true})
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

// Printed implements [Collection].
func (c *KernelCollection) Printed() (Events, error) {
	e, err := c.Collection.Printed()
	if e == nil || err != nil {
		return nil, err
	}
	return e, nil
}

// Streams implements [Collection].
func (c *KernelCollection) Streams() (Events, error) {
	s, err := c.Collection.Streams()
	if s == nil || err != nil {
		return nil, err
	}
	return &lines{Events: s}, nil
}

// MayNot says in a clause that the kernel may not be used for what failed with an error:
// for want of privileges, or because it has nothing of the kind; "" where it may.
func MayNot(err error) string {
	lacks, denied := kernel.Denied(err)
	switch {
	case denied && lacks != 0:
		return "the kernel wants " + lacks.String()
	case denied:
		return "the kernel does not let this process use bpf()"
	case errors.Is(err, ebpf.ErrNotSupported):
		return "the kernel here does not support it"
	}
	return ""
}

func noProgram(name string) error { return fmt.Errorf("the object has no program %s", name) }
