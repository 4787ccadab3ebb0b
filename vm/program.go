package vm

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier"
	"github.com/skep-ebpf/skep/vm/engine"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/helper"
	"github.com/skep-ebpf/skep/vm/interp"
	"github.com/skep-ebpf/skep/vm/jit"
	"github.com/skep-ebpf/skep/vm/jit/ir"
	"github.com/skep-ebpf/skep/vm/maps"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// DefaultBudget is how many instructions one run may execute where
// [ProgramOptions] does not say: more than any program that Linux verifies
// without bpf_loop or may_goto can.
const DefaultBudget = 1 << 32

// xdpHasFrags is BPF_F_XDP_HAS_FRAGS: the program takes packets in fragments.
const xdpHasFrags = 1 << 5

// xdpDevBound is BPF_F_XDP_DEV_BOUND_ONLY: the program is for one device, whose driver it
// may ask about packets.
const xdpDevBound = 1 << 6

// Program is a program of the user-space machine, with the methods and the
// behaviour of [ebpf.Program].
type Program struct {
	obj *progObject
}

// progObject is what Program handles and program arrays share.
type progObject struct {
	image *program.Image
	typ   *progtype.Type
	code  *engine.Program
	maps  []*mapObject // kept alive
	id    uint32
	// context is how many bytes of its context the program accesses.
	context int
	budget  int64
	env     *exec.Env
	// operation is what goes on around a structure's operation; nil: nothing.
	operation helper.Operation
	refs      atomic.Int32
}

func (o *progObject) ref() *progObject { o.refs.Add(1); return o }

// progObjects finds the object behind a program's number.
var progObjects sync.Map // uint32 -> *progObject

// progByID takes a reference to the program of a number; nil where there is none.
func progByID(id uint32) *progObject {
	v, ok := progObjects.Load(id)
	if !ok {
		return nil
	}
	o := v.(*progObject)
	if !take(&o.refs) {
		return nil
	}
	return o
}

func (o *progObject) unref() {
	if o.refs.Add(-1) > 0 {
		return
	}
	progObjects.Delete(o.id)
	maps.UnregisterProg(o.id)
	o.env.Timers.Forget(o.code.Program)
	for _, m := range o.maps {
		if a, ok := m.Map.(*maps.InsnArray); ok {
			a.Release()
		}
		m.unref()
	}
	machine.retire(func() { runtime.KeepAlive(o) }) // whose code a run may be in, by a tail call
}

// ProgramOptions say how programs are loaded and run.
type ProgramOptions struct {
	// Link says what CO-RE relocations and externs are resolved against. Optional.
	Link program.LinkOptions
	// Budget is how many instructions a run that begins with the program may
	// execute, in the programs that it tail-calls, too; a run that needs more ends
	// with an error that is [interp.ErrBudget]. 0: DefaultBudget.
	Budget int64
	// Env is what lies outside the machine. Optional: the host's clock and
	// randomness, and silence.
	Env *exec.Env
	// Mode is how programs are executed.
	Mode engine.Mode
	// Harden is for programs from strangers: their machine code holds no numbers that
	// they chose, and lies nowhere that they can know (docs/security.md).
	Harden bool

	unverified bool // for tests of what checked mode sees
}

func (o *ProgramOptions) budget() int64 {
	if o.Budget == 0 {
		return DefaultBudget
	}
	return o.Budget
}

// NewProgram loads a program that refers to no maps by name.
func NewProgram(spec *ebpf.ProgramSpec) (*Program, error) {
	return NewProgramWithOptions(spec, ProgramOptions{})
}

// NewProgramWithOptions is NewProgram with options.
func NewProgramWithOptions(spec *ebpf.ProgramSpec, opts ProgramOptions) (*Program, error) {
	coll, err := NewCollectionWithOptions(&ebpf.CollectionSpec{
		Programs: map[string]*ebpf.ProgramSpec{spec.Name: spec},
	}, CollectionOptions{Programs: opts})
	if err != nil {
		return nil, err
	}
	defer coll.Close()
	return coll.DetachProgram(spec.Name), nil
}

// newProgram makes an image of a spec's program runnable. objs are what image.Maps
// names.
func newProgram(spec *ebpf.CollectionSpec, image *program.Image, objs []*mapObject, opts *ProgramOptions) (*Program, error) {
	typ, err := typeOf(image)
	if err != nil {
		return nil, err
	}
	proved, types := new(verifier.Result), image.KernelTypes
	if !opts.unverified {
		if all, err := opts.Link.Types(spec); err == nil { // for a program without relocations there need be none
			types = all
		}
		if proved, err = verify(image, objs, types); err != nil {
			return nil, err
		}
	}
	in := interp.Input{
		Name: image.Name, Type: typ, Attach: image.Attach, Insns: image.Insns, Facts: proved.Facts,
		Poisoned: image.Poisoned, Text: image.Text, Where: image.Where,
		Kfuncs: image.Kfuncs, Types: image.Types, Exception: image.Exception,
	}
	link := opts.Link
	in.KernelTypes = func() (*btf.Spec, error) { return link.Types(spec) }
	for _, o := range objs {
		in.Maps = append(in.Maps, o.Map)
	}
	in.Proprietary = image.Proprietary()
	tables, err := useTables(image, objs)
	if err != nil {
		return nil, err
	}
	code, err := engine.Compile(&in, engine.Options{Mode: opts.Mode, Harden: opts.Harden})
	if err != nil {
		release(tables)
		return nil, err
	}
	obj := &progObject{
		image: image, typ: typ, code: code,
		context: proved.Context, budget: opts.budget(), env: new(exec.Env),
	}
	if image.Type == ebpf.StructOps {
		obj.operation = helper.OperationOf(image.AttachTo, helper.Types{Own: image.Types, Kernel: in.KernelTypes})
	}
	if opts.Env != nil {
		*obj.env = *opts.Env
	}
	obj.env.CPUs = PossibleCPU()
	if obj.env.Sched != nil {
		obj.env.CPUs = max(obj.env.CPUs, obj.env.Sched.CPUs())
	}
	if obj.env.Types == nil {
		obj.env.Types = types
	}
	obj.env.Defaults()
	if image.Type == ebpf.Syscall {
		obj.env.Syscalls = &syscalls{*opts}
		if obj.env.Types == nil { // whose numbers it asks for (bpf_btf_find_by_name_kind)
			obj.env.Types, _ = opts.Link.Types(spec) // nil: there are none
		}
	}
	for _, o := range objs {
		obj.maps = append(obj.maps, o.ref())
	}
	obj.id = maps.RegisterProg(code.Registered())
	p := &Program{obj.ref()}
	progObjects.Store(obj.id, obj)
	return p, nil
}

// useTables makes the instruction arrays among maps the image's own.
func useTables(image *program.Image, objs []*mapObject) (used []*maps.InsnArray, err error) {
	valid := func(insn uint32) bool {
		return int64(insn) < int64(len(image.Insns)) && (insn == 0 || !image.Insns[insn-1].IsWide())
	}
	for _, o := range objs {
		a, ok := o.Map.(*maps.InsnArray)
		if !ok {
			continue
		}
		if err := a.Use(valid); err != nil {
			release(used)
			return nil, err
		}
		used = append(used, a)
	}
	return used, nil
}

func release(tables []*maps.InsnArray) {
	for _, a := range tables {
		a.Release()
	}
}

// AttachType is what the program was loaded for.
func (p *Program) AttachType() ebpf.AttachType { return p.obj.image.Attach }

// typeOf describes an image's program type. A program that runs in place of a
// function of another is of the type whose context that function takes.
func typeOf(image *program.Image) (*progtype.Type, error) {
	if image.Type != ebpf.Extension {
		return progtype.ForAttach(image.Type, image.Attach)
	}
	return progtype.ForFunction(image.Funcs[0].Type)
}

// String names the program and its type.
func (p *Program) String() string {
	return fmt.Sprintf("%s(%s)#%d", p.obj.image.Type, p.obj.image.Name, p.FD())
}

// Name is the name that the program's spec gave it.
func (p *Program) Name() string { return p.obj.image.Name }

// Type of the program.
func (p *Program) Type() ebpf.ProgramType { return p.obj.image.Type }

// Info gives the program's type and name; the rest of [ebpf.ProgramInfo] is the
// kernel's alone.
func (p *Program) Info() (*ebpf.ProgramInfo, error) {
	return &ebpf.ProgramInfo{Type: p.Type(), Name: p.Name()}, nil
}

// Code is what a program was compiled to.
type Code struct {
	Took  time.Duration // compiling, without linking and verifying
	Bytes int           // of machine code; 0: it is interpreted
}

// Code says what the program was compiled to.
func (p *Program) Code() Code {
	c := Code{Took: p.obj.code.Took()}
	if native := p.obj.code.Native(); native != nil {
		c.Bytes = native.Size()
	}
	return c
}

// Assemble gives the machine code that the program is on an architecture (a GOARCH):
// to be looked at, on any system.
func (p *Program) Assemble(arch string) (*ir.Code, error) {
	return jit.Assemble(p.obj.code.Program, arch)
}

// Describe gives what is known of the program's type: its context and the names
// of its return codes.
func (p *Program) Describe() *progtype.Type { return p.obj.typ }

// FD is the number that stands for the program in a program array. It is no file
// descriptor of the operating system.
func (p *Program) FD() int { return int(p.obj.id) }

// Clone gives another handle of the same program.
func (p *Program) Clone() (*Program, error) {
	if p == nil {
		return nil, nil
	}
	return &Program{p.obj.ref()}, nil
}

// Close drops this handle. It must not be called while other goroutines use the
// handle; the program lives on in the program arrays that hold it.
func (p *Program) Close() error {
	if p == nil || p.obj == nil {
		return nil
	}
	p.obj.unref()
	p.obj = nil
	return nil
}
