package kernel

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/program"
)

func init() { families["struct_ops"] = planStructOps }

// planStructOps attaches the structures of operations that a program is part of. What is
// attached are these, all their programs at once, and so one link serves these all.
func planStructOps(c *Collection, prog *ebpf.Program, at hook.Point) (func() (io.Closer, error), error) {
	var name string
	for name = range c.Programs {
		if c.Programs[name] == prog {
			break
		}
	}
	structures := slices.Sorted(program.OperationsOf(c.Spec, name))
	if len(structures) == 0 {
		return nil, fmt.Errorf("%s: no structure of operations in section .struct_ops.link has the program", at)
	}
	return func() (io.Closer, error) {
		var all closers
		for _, s := range structures {
			l, err := c.attachOperations(s)
			if err != nil {
				return nil, errors.Join(fmt.Errorf("structure %s: %w", s, err), all.Close())
			}
			all = append(all, l)
		}
		return all, nil
	}, nil
}

// attachOperations attaches a structure, if no other program of it has.
func (c *Collection) attachOperations(name string) (*operations, error) {
	ops := c.operations[name]
	if ops == nil {
		l, err := link.AttachStructOps(link.StructOpsOptions{Map: c.Maps[name]})
		if err != nil {
			return nil, err
		}
		ops = &operations{link: l, end: func() { delete(c.operations, name) }}
		if c.operations == nil {
			c.operations = make(map[string]*operations)
		}
		c.operations[name] = ops
	}
	ops.programs++
	return ops, nil
}

// operations is the link of a structure of operations, which its programs share.
type operations struct {
	link     link.Link
	programs int // that are attached by it
	pin      string
	end      func()
}

// Close detaches a program; the structure is with the last one.
func (o *operations) Close() error {
	if o.programs--; o.programs > 0 {
		return nil
	}
	o.end()
	return o.link.Close()
}

// Pin makes a pin for each program of the one link.
func (o *operations) Pin(path string) error {
	if o.pin != "" {
		return os.Link(o.pin, path)
	}
	o.pin = path
	return o.link.Pin(path)
}
