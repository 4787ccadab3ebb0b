package machine

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/ctxfile"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// iterates says what skep's own machine does not list.
func iterates(p hook.Point) error {
	if p.Target == "task" {
		return nil
	}
	return fmt.Errorf("skep's own machine lists the tasks of a world (iter/task) alone: run %s in the kernel, or give the program one step with --ctx", p)
}

// iterator is what a program for iter/task is run with.
type iterator struct {
	ctx  []byte // of a step without a task
	task int    // where the task's address stands in it
}

// newIterator makes the context of an object's iterators over tasks, and puts what it
// points to into the environment.
func newIterator(spec *ebpf.CollectionSpec, link *program.LinkOptions, env *exec.Env) (*iterator, error) {
	types, err := link.Types(spec)
	if err != nil {
		return nil, err
	}
	typ, err := progtype.ForAttach(ebpf.Tracing, ebpf.AttachTraceIter)
	if err != nil {
		return nil, err
	}
	c, err := ctxfile.Parse("iter/task", []byte("{}"), &ctxfile.Target{
		Type: typ, Own: spec.Types, Kernel: types, AttachTo: "task", Attach: ebpf.AttachTraceIter,
	})
	if err != nil {
		return nil, err
	}
	var s *btf.Struct
	if err := types.TypeByName("bpf_iter__task", &s); err != nil {
		return nil, fmt.Errorf("type struct bpf_iter__task: %w", err)
	}
	for _, m := range s.Members { // each is a union of a pointer and 64 bits
		if u, ok := m.Type.(*btf.Union); ok && len(u.Members) > 0 && u.Members[0].Name == "task" {
			return &iterator{c.Ctx, int(m.Offset.Bytes())}, c.Into(env)
		}
	}
	return nil, errors.New("struct bpf_iter__task has no field task")
}

// planIterator gives a link whose output is what a program writes of all tasks.
func (c *UserCollection) planIterator(a hook.Attachment, prog *vm.Program) (func() (*userLink, error), error) {
	if err := iterates(a.Point); err != nil {
		return nil, err
	}
	output := func() (io.ReadCloser, error) {
		text, err := c.iterate(prog)
		return io.NopCloser(bytes.NewReader(text)), err
	}
	return func() (*userLink, error) { return &userLink{point: a.Point, output: output}, nil }, nil
}

// iterate runs a program for each task and, as Linux does, once behind the last.
func (c *UserCollection) iterate(prog *vm.Program) (text []byte, err error) {
	var addrs []uint64
	if c.env.Tasks != nil {
		for _, t := range c.env.Tasks.All() {
			addrs = append(addrs, t.Addr)
		}
	}
	ctx := bytes.Clone(c.iterator.ctx)
	var out vm.Output
	for _, addr := range append(addrs, 0) {
		binary.NativeEndian.PutUint64(ctx[c.iterator.task:], addr)
		if err := prog.Exec(context.Background(), &vm.Input{Ctx: ctx}, &out); err != nil {
			return nil, err
		}
		text = append(text, out.Seq...)
	}
	return text, nil
}
