package ctxfile

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/suggest"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/memory"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// Target is the program that a context is for.
type Target struct {
	Type *progtype.Type
	// AttachTo is what the program is attached to, as its section says.
	AttachTo string
	// Attach tells the ways of attaching apart, where the type does not.
	Attach ebpf.AttachType
	// Kernel are the kernel's types, Own those of the program's object. Either may
	// be nil.
	Kernel, Own *btf.Spec
	// Data is the packet that the program runs on.
	Data []byte
}

// Context is what a file says.
type Context struct {
	Ctx     []byte // for [progtype.Input]
	Objects *exec.Objects
	Task    *exec.Task // that the program runs in; nil: not said
	Trace   exec.Trace // where a tracing program is attached

	was *memory.Snapshot
}

// Changes are the fields of the file's objects that programs have changed since it
// was read: "tcp_sock.snd_cwnd: 20 → 21".
func (c *Context) Changes() []string { return c.was.Changes() }

// reader is the state of one Parse.
type reader struct {
	target *Target
	memory *memory.Memory
}

// Parse reads a file. The name is for messages. What it describes lives as long as
// the process.
func Parse(name string, text []byte, target *Target) (*Context, error) {
	top, err := parseTop(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var types []*btf.Spec
	for _, t := range []*btf.Spec{target.Kernel, target.Own} {
		if t != nil {
			types = append(types, t)
		}
	}
	r := &reader{target: target, memory: memory.New(types...)}
	c, err := r.read(top)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, errors.Join(err, r.memory.Close()))
	}
	return c, nil
}

func (r *reader) read(top *entries) (*Context, error) {
	if err := r.readMemory(top); err != nil {
		return nil, err
	}
	task, err := r.current(top)
	if err != nil {
		return nil, err
	}
	trace, err := r.attached(top)
	if err != nil {
		return nil, err
	}
	ctx, err := r.context(top)
	if err != nil {
		return nil, err
	}
	if err := top.unused(); err != nil {
		return nil, err
	}
	objects, err := r.memory.Objects()
	if err != nil {
		return nil, err
	}
	return &Context{Ctx: ctx, Objects: objects, Task: task, Trace: trace, was: r.memory.Snapshot()}, nil
}

// context is the context's bytes, of the form that the program's type wants.
func (r *reader) context(top *entries) ([]byte, error) {
	if e, ok := top.take("bytes"); ok {
		text, ok := e.value.(string)
		if !ok {
			return nil, e.errorf("want hex digits in quotes")
		}
		b, err := hexBytes(text)
		if err != nil {
			return nil, e.errorf("%w", err)
		}
		return b, nil
	}
	switch t := r.target.Type; {
	case t.Typed, t.Prog == ebpf.RawTracepoint:
		return r.words(top)
	case len(t.Fields) > 0:
		return r.fields(top)
	case t.Prog == ebpf.Kprobe:
		return r.registers(top)
	}
	return r.structure(top)
}

// structure is a context of a type in BTF: an event's, or a syscall program's.
func (r *reader) structure(top *entries) ([]byte, error) {
	name := eventType(r.target)
	if e, ok := top.take("type"); ok {
		if name, ok = e.value.(string); !ok {
			return nil, e.errorf("want the name of a type")
		}
	}
	fields := top.takeAll()
	if name == "" {
		if len(fields) == 0 {
			return nil, nil
		}
		return nil, errors.New("the context's type is not known: name it, as in type: my_args, or give bytes")
	}
	size, err := r.memory.Size(name, fields)
	if err != nil {
		return nil, fmt.Errorf("%w: name the context's type, as in type: my_args, or give bytes", err)
	}
	ctx := make([]byte, size)
	return ctx, r.memory.Fill(ctx, name, fields)
}

// eventType is the type of the record of a tracepoint, "" where it is not known.
func eventType(t *Target) string {
	if t.Type.Prog != ebpf.TracePoint {
		return ""
	}
	group, event, ok := strings.Cut(t.AttachTo, "/")
	switch {
	case !ok:
		return ""
	case group == "syscalls" && strings.HasPrefix(event, "sys_enter_"):
		event = "sys_enter"
	case group == "syscalls" && strings.HasPrefix(event, "sys_exit_"):
		event = "sys_exit"
	}
	return "trace_event_raw_" + event
}

// fields is a context of linux/bpf.h.
func (r *reader) fields(top *entries) ([]byte, error) {
	t := r.target.Type
	ctx := make([]byte, t.CtxSize)
	for _, e := range top.takeEntries() {
		if err := putField(ctx, t, e); err != nil {
			return nil, err
		}
	}
	if t.Prog == ebpf.XDP {
		for _, f := range t.Fields {
			if f.Kind == progtype.PacketEnd {
				putLittle(ctx[f.Off:f.Off+f.Size], uint64(len(r.target.Data)))
			}
		}
	}
	return ctx, nil
}

// registers is a struct pt_regs.
func (r *reader) registers(top *entries) ([]byte, error) {
	regs := progtype.HostRegisters()
	if e, ok := top.take("arch"); ok {
		i := slices.IndexFunc(progtype.RegisterSets, func(s progtype.Registers) bool { return s.Arch == e.value })
		if i < 0 {
			return nil, e.errorf("%v is no processor; there is amd64 and arm64", e.value)
		}
		regs = &progtype.RegisterSets[i]
	}
	ctx := make([]byte, regs.Size)
	for _, e := range top.takeEntries() {
		name := e.name
		var n int
		if _, err := fmt.Sscanf(name, "arg%d", &n); err == nil && n >= 1 && n <= len(regs.Args) {
			name = regs.Args[n-1]
		} else if name == "ret" {
			name = regs.Ret
		}
		i := slices.Index(regs.Names, name)
		if i < 0 {
			return nil, e.errorf("%s has no such register; arg1 to arg%d and ret stand for those of arguments and result%s",
				regs.Arch, len(regs.Args), suggest.Name(name, regs.Names))
		}
		v, err := r.word(nil, e.value)
		if err != nil {
			return nil, e.errorf("%w", err)
		}
		putLittle(ctx[8*i:8*i+8], v)
	}
	return ctx, nil
}
