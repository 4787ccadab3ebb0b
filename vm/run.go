package vm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// ErrInput says that a run did not begin because no run of this type takes what
// was given, such as a packet without an Ethernet header.
var ErrInput = errors.New("input refused")

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
	if p.obj.typ.Prog == ebpf.XDP && p.obj.image.Flags&xdpDevBound != 0 {
		return 0, 0, fmt.Errorf("a program for one device (BPF_F_XDP_DEV_BOUND_ONLY) has no test run: %w", errno.EINVAL)
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
	// RX is what the interface's driver knows of an XDP program's packet; nil: there is no
	// driver, as in BPF_PROG_TEST_RUN.
	RX *progtype.RX
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
	// Executed is how many instructions the last run executed.
	Executed int64
	// SKB is made what the run left of the socket buffer, where it is not nil.
	SKB *progtype.SKBContext
	// Effects is what the program did to the world around it, and Seq what an
	// iterator wrote. Both are overwritten and grown as needed.
	Effects []exec.Effect
	Seq     []byte
	// Session is the number that a session's runs share, as this one left it: for
	// Input.Trace of the run at the function's return.
	Session uint64
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
	c.in = progtype.Input{Data: in.Data, Ctx: in.Ctx, Frags: p.obj.image.Flags&xdpHasFrags != 0, Place: in.Place, RX: in.RX}
	if err := p.obj.typ.Setup(s, &c.in); err != nil {
		return fmt.Errorf("%w: %w", ErrInput, err)
	}
	if err := p.hasContext(s); err != nil {
		return err
	}
	p.enterWorld(s, in)
	n := max(in.Repeat, 1)
	var start time.Time
	if in.Repeat > 0 {
		start = time.Now()
	}
	end := func(uint64) {}
	if p.obj.operation != nil {
		end = p.obj.operation(s, contextWords(in.Ctx))
	}
	ret, err := p.obj.code.Repeat(s, n, p.obj.budget)
	end(ret)
	if err != nil {
		return err
	}
	if in.Repeat > 0 {
		out.Took = time.Since(start) / time.Duration(n)
	}
	c.out = progtype.Output{Data: out.Data[:0], Ctx: out.Ctx, SKB: out.SKB}
	p.obj.typ.Finish(s, &c.out)
	out.Ret, out.Data, out.Meta, out.VLAN, out.Redirect = uint32(ret), c.out.Data, c.out.Meta, c.out.VLAN, s.Redirect
	out.Executed = p.obj.budget - s.Budget
	out.Effects, out.Seq = append(out.Effects[:0], s.Effects...), append(out.Seq[:0], s.Seq...)
	if p.inSession() {
		out.Session = s.Session()
	}
	c.in, c.out = progtype.Input{}, progtype.Output{} // keep nothing of the caller's
	_, err = s.Env.Timers.Run(s, p.obj.budget)
	return err
}

// contextWords are the words of a context of arguments.
func contextWords(ctx []byte) []uint64 {
	words := make([]uint64, len(ctx)/8)
	for i := range words {
		words[i] = binary.NativeEndian.Uint64(ctx[8*i:])
	}
	return words
}

// hasContext refuses a context that is memory and shorter than the program knows it, as
// BPF_PROG_TEST_RUN does.
func (p *Program) hasContext(s *exec.State) error {
	given := s.CtxShape().Size
	if t := p.obj.typ; len(t.Fields) > 0 || t.Typed || given >= p.obj.context {
		return nil
	}
	return fmt.Errorf("%w: context has %d bytes, and the program accesses %d: %w", ErrInput, given, p.obj.context, errno.EINVAL)
}

// inSession reports whether the program runs both when a function is entered and when
// it returns.
func (p *Program) inSession() bool { return progtype.InSession(p.obj.image.Type, p.obj.image.Attach) }

// enterWorld tells a run what it may ask about itself, and forgets what the one
// before did.
func (p *Program) enterWorld(s *exec.State, in *Input) {
	s.Effects, s.Seq = s.Effects[:0], s.Seq[:0]
	s.Trace = in.Trace
	if p.inSession() {
		s.ShareSession(in.Trace.Session)
	}
	words := len(in.Ctx) / 8
	switch p.obj.image.Attach {
	case ebpf.AttachTraceFExit, ebpf.AttachModifyReturn:
		s.Trace.HasRet = true
		words--
	}
	if s.Trace.Args == 0 {
		s.Trace.Args = max(words, 0)
	}
	p.enterSocket(s, in)
}
