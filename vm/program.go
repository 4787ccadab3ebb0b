package vm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/interp"
	"github.com/skep-ebpf/skep/vm/maps"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// DefaultBudget is how many instructions one run may execute where
// [ProgramOptions] does not say: more than any program that Linux verifies
// without bpf_loop or may_goto can.
const DefaultBudget = 1 << 32

// ErrInput says that a run did not begin because no run of this type takes what
// was given, such as a packet without an Ethernet header.
var ErrInput = errors.New("input refused")

// xdpHasFrags is BPF_F_XDP_HAS_FRAGS: the program takes packets in fragments.
const xdpHasFrags = 1 << 5

// Program is a program of the user-space machine, with the methods and the
// behaviour of [ebpf.Program].
type Program struct {
	obj *progObject
}

// progObject is what Program handles and program arrays share.
type progObject struct {
	image  *program.Image
	typ    *progtype.Type
	code   *interp.Program
	maps   []*mapObject // kept alive
	id     uint32
	mode   interp.Mode
	budget int64
	env    *exec.Env
	refs   atomic.Int32
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
	for {
		n := o.refs.Load()
		if n == 0 {
			return nil // it is being closed
		}
		if o.refs.CompareAndSwap(n, n+1) {
			return o
		}
	}
}

func (o *progObject) unref() {
	if o.refs.Add(-1) > 0 {
		return
	}
	progObjects.Delete(o.id)
	maps.UnregisterProg(o.id)
	o.env.Timers.Forget(o.code)
	for _, m := range o.maps {
		m.unref()
	}
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
	Mode interp.Mode
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
	in := interp.Input{
		Name: image.Name, Type: typ, Attach: image.Attach, Insns: image.Insns,
		Poisoned: image.Poisoned, Text: image.Text, Where: image.Where,
		Kfuncs: image.Kfuncs, Types: image.Types,
	}
	link := opts.Link
	in.KernelTypes = func() (*btf.Spec, error) { return link.Types(spec) }
	for _, o := range objs {
		in.Maps = append(in.Maps, o.Map)
	}
	in.Proprietary = image.Proprietary()
	code, err := interp.Compile(&in)
	if err != nil {
		return nil, err
	}
	obj := &progObject{
		image: image, typ: typ, code: code,
		mode: opts.Mode, budget: opts.budget(), env: new(exec.Env),
	}
	if opts.Env != nil {
		*obj.env = *opts.Env
	}
	obj.env.CPUs = PossibleCPU()
	if obj.env.Types == nil {
		obj.env.Types = image.KernelTypes
	}
	obj.env.Defaults()
	for _, o := range objs {
		obj.maps = append(obj.maps, o.ref())
	}
	obj.id = maps.RegisterProg(code)
	p := &Program{obj.ref()}
	progObjects.Store(obj.id, obj)
	return p, nil
}

// NewProgramFromFD gives a handle of the program that a number stands for: what
// [Program.FD] gave, or a map says of its element.
func NewProgramFromFD(fd int) (*Program, error) {
	obj := progByID(uint32(fd))
	if obj == nil {
		return nil, fmt.Errorf("program %d: %w", fd, errno.EBADF)
	}
	return &Program{obj}, nil
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

// Test runs the program once on a packet and gives its return value and the
// packet as it left it.
func (p *Program) Test(in []byte) (uint32, []byte, error) {
	var out Output
	if err := p.Exec(context.Background(), &Input{Data: in}, &out); err != nil {
		return 0, nil, fmt.Errorf("test program: %w", err)
	}
	return out.Ret, out.Data, nil
}

// Run runs the program as opts say, with the checks and the results of
// BPF_PROG_TEST_RUN. BatchSize and Flags other than zero are refused.
func (p *Program) Run(opts *ebpf.RunOptions) (uint32, error) {
	ret, _, err := p.run(opts)
	if err != nil {
		return ret, fmt.Errorf("run program: %w", err)
	}
	return ret, nil
}

// Benchmark runs the program repeat times and gives its last return value and
// the time of one run. reset is called when the runs begin; it may be nil.
func (p *Program) Benchmark(in []byte, repeat int, reset func()) (uint32, time.Duration, error) {
	if repeat < 0 || uint64(repeat) > math.MaxUint32 {
		return 0, 0, fmt.Errorf("benchmark program: repeat %d is not between 0 and %d", repeat, uint32(math.MaxUint32))
	}
	if reset != nil {
		reset()
	}
	ret, one, err := p.run(&ebpf.RunOptions{Data: in, Repeat: uint32(repeat)})
	if err != nil {
		return ret, one, fmt.Errorf("benchmark program: %w", err)
	}
	return ret, one, nil
}

func (p *Program) run(opts *ebpf.RunOptions) (uint32, time.Duration, error) {
	if a := p.AttachType(); a == ebpf.AttachXDPDevMap || a == ebpf.AttachXDPCPUMap {
		return 0, 0, fmt.Errorf("a program for %s runs behind a redirect, not on its own: %w", a, errno.EINVAL)
	}
	if opts.Flags != 0 || opts.BatchSize != 0 {
		return 0, 0, fmt.Errorf("flags %#x and batch size %d: %w", opts.Flags, opts.BatchSize, ebpf.ErrNotSupported)
	}
	in := Input{Data: opts.Data, Repeat: max(opts.Repeat, 1)}
	if opts.Context != nil {
		var err error
		if in.Ctx, err = binary.Append(nil, binary.NativeEndian, opts.Context); err != nil {
			return 0, 0, fmt.Errorf("context: %w", err)
		}
	}
	var out Output
	if opts.ContextOut != nil {
		out.Ctx = make([]byte, max(binary.Size(opts.ContextOut), 0))
	}
	c, err := acquire(opts.CPU)
	if err != nil {
		return 0, 0, err
	}
	defer machine.release(c)
	if err := p.exec(context.Background(), c, &in, &out); err != nil {
		return 0, 0, err
	}
	if opts.DataOut != nil {
		n := copy(opts.DataOut, out.Data)
		opts.DataOut = opts.DataOut[:n]
		if n < len(out.Data) {
			return out.Ret, out.Took, fmt.Errorf("the packet is %d bytes long, DataOut has room for %d: %w", len(out.Data), n, errno.ENOSPC)
		}
	}
	if opts.ContextOut != nil {
		if err := binary.Read(bytes.NewReader(out.Ctx), binary.NativeEndian, opts.ContextOut); err != nil {
			return out.Ret, out.Took, fmt.Errorf("context out: %w", err)
		}
	}
	return out.Ret, out.Took, nil
}

// acquire takes the CPU that a run asks for; 0 is any, as it is the default.
func acquire(n uint32) (*cpu, error) {
	if n == 0 {
		return machine.acquire()
	}
	if int(n) >= len(machine.all) {
		return nil, fmt.Errorf("the machine has no CPU %d, only %d: %w", n, len(machine.all), errno.EINVAL)
	}
	return machine.acquireCPU(int(n))
}

// Input is what a run starts from. Packet types take a packet and may take a
// context in linux/bpf.h's layout; types whose context is plain memory take Ctx.
type Input struct {
	Data []byte
	Ctx  []byte
	// CPU is the CPU to run on, where the machine has it; 0: any.
	CPU uint32
	// Place puts an XDP or traffic control program's packet into a network; nil: as
	// in BPF_PROG_TEST_RUN.
	Place *progtype.Place
	// Trace is what a tracing program is told beside its context. The zero value is
	// a place without an address or a cookie.
	Trace exec.Trace
	// Repeat is how many runs to make on this one context, and to time. 0: one,
	// not timed, as looking at the clock takes as long as a short program.
	Repeat uint32
}

// Output is what a run leaves. A caller that runs often reuses it: Data is
// overwritten and grown as needed.
type Output struct {
	Ret      uint32
	Data     []byte        // the packet
	VLAN     [4]byte       // a socket buffer's outermost VLAN tag, which is not in Data; all zero: none
	Meta     int           // bytes of metadata that Data begins with
	Ctx      []byte        // filled as far as it is long
	Redirect exec.Redirect // where the program sent the packet, if Ret says so
	Took     time.Duration // of one run, where they were timed
	// SKB is made what the run left of the socket buffer, where it is not nil.
	SKB *progtype.SKBContext
	// Effects is what the program did to the world around it, and Seq what an
	// iterator wrote. Both are overwritten and grown as needed.
	Effects []exec.Effect
	Seq     []byte
}

// Exec runs the program. It is what Run does, for callers that run often: once
// out.Data is large enough nothing is allocated. ctx ends a run early.
func (p *Program) Exec(ctx context.Context, in *Input, out *Output) error {
	n := in.CPU
	if int(n) >= len(machine.all) {
		n = 0
	}
	c, err := acquire(n)
	if err != nil {
		return err
	}
	defer machine.release(c)
	return p.exec(ctx, c, in, out)
}

// exec sets a context up once and runs the program on it as often as in says,
// as BPF_PROG_TEST_RUN does.
func (p *Program) exec(ctx context.Context, c *cpu, in *Input, out *Output) error {
	s := c.state
	s.Env, s.Context = p.obj.env, ctx
	if _, err := s.Env.Timers.Run(s, p.obj.budget); err != nil {
		return err
	}
	c.in = progtype.Input{Data: in.Data, Ctx: in.Ctx, Frags: p.obj.image.Flags&xdpHasFrags != 0, Place: in.Place}
	if err := p.obj.typ.Setup(s, &c.in); err != nil {
		return fmt.Errorf("%w: %w", ErrInput, err)
	}
	p.enterWorld(s, in)
	n := max(in.Repeat, 1)
	var ret uint64
	var start time.Time
	if in.Repeat > 0 {
		start = time.Now()
	}
	for range n {
		var err error
		s.Budget = p.obj.budget
		if ret, err = p.obj.code.Run(s, p.obj.mode); err != nil {
			return err
		}
	}
	if in.Repeat > 0 {
		out.Took = time.Since(start) / time.Duration(n)
	}
	c.out = progtype.Output{Data: out.Data[:0], Ctx: out.Ctx, SKB: out.SKB}
	p.obj.typ.Finish(s, &c.out)
	out.Ret, out.Data, out.Meta, out.VLAN, out.Redirect = uint32(ret), c.out.Data, c.out.Meta, c.out.VLAN, s.Redirect
	out.Effects, out.Seq = append(out.Effects[:0], s.Effects...), append(out.Seq[:0], s.Seq...)
	c.in, c.out = progtype.Input{}, progtype.Output{} // keep nothing of the caller's
	_, err := s.Env.Timers.Run(s, p.obj.budget)
	return err
}

// enterWorld tells a run what it may ask about itself, and forgets what the one
// before did.
func (p *Program) enterWorld(s *exec.State, in *Input) {
	s.Effects, s.Seq = s.Effects[:0], s.Seq[:0]
	s.Trace = in.Trace
	words := len(in.Ctx) / 8
	switch p.obj.image.Attach {
	case ebpf.AttachTraceFExit, ebpf.AttachModifyReturn:
		s.Trace.HasRet = true
		words--
	}
	if s.Trace.Args == 0 {
		s.Trace.Args = max(words, 0)
	}
	if s.Env.Sockets != nil {
		p.obj.typ.EnterSocket(s, s.Env.Sockets.Current())
	}
}
