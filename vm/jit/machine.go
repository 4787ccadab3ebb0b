package jit

import (
	"errors"
	"fmt"

	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/interp"
	"github.com/skep-ebpf/skep/vm/jit/abi"
	"github.com/skep-ebpf/skep/vm/maps"
)

// slice is how many instructions run between two looks at State.Context, and so how
// long native code may keep a garbage collection waiting: some 50 µs.
const slice = 100_000

// machine is the driver of a state's runs.
type machine struct {
	state *exec.State
	stack uintptr // the native stack's first byte
	ctx   uint64  // the address of the program's context
	c     *abi.Context
	run
}

// run is what belongs to one run. One that a helper begins within another has its
// own, and its frames below those of the other.
type run struct {
	env    *exec.Env // what Context.Random is for
	first  *Program  // the one that was entered; nil between runs
	prog   *Program  // the one whose code exited last
	top    uintptr   // where the first frame begins
	err    error     // ends the run
	thrown uint64    // the result, where err is errThrown
}

// errThrown ends what bpf_throw ended; it is no error to the caller.
var errThrown = errors.New("the program threw an exception")

// machineOf is the machine that runs programs on a state.
func machineOf(s *exec.State) (*machine, error) {
	if m, ok := s.JIT.(*machine); ok {
		return m, nil
	}
	stack, err := s.Native()
	if err != nil {
		return nil, err
	}
	m := &machine{state: s, stack: stack, ctx: uint64(s.Ctx()), c: (*abi.Context)(mem.At(stack))}
	m.top = stack + stackTop
	s.JIT = m
	return m, nil
}

// execute runs a program from the beginning of one of its functions to the end, and
// takes back what it kept. The function gets what args gives; without, the program's
// context.
func (m *machine) execute(p *Program, f *function, args func() ([5]uint64, [5]exec.Prov)) (uint64, error) {
	if m.first != nil {
		return m.within(p, f, args)
	}
	m.prepare(p)
	m.c.Args[0] = m.ctx
	if args != nil {
		m.c.Args, _ = args()
	}
	m.begin(p)
	err := m.once(p, f)
	m.leave()
	return m.c.R0, err
}

// repeat runs a program n times, each with the same budget, and gives the last result.
func (m *machine) repeat(p *Program, n uint32, budget int64) (uint64, error) {
	if m.first != nil {
		return 0, fmt.Errorf("program %s is to run many times within another program: it can run there once", p.Name())
	}
	m.prepare(p)
	m.begin(p)
	var err error
	for range n {
		m.state.Budget, m.c.Args[0] = budget, m.ctx
		if err = m.once(p, p.main); err != nil {
			break
		}
	}
	m.leave()
	return m.c.R0, err
}

// prepare makes the state ready for runs of a program.
func (m *machine) prepare(p *Program) {
	s, c := m.state, m.c
	p.Begin(s)
	c.CPU = uint64(s.CPU)
	if m.env != s.Env {
		m.env, c.Random = s.Env, s.Env.Seed()
	}
}

// begin notes that the program runs, until leave.
func (m *machine) begin(p *Program) { m.state.Engine, m.first = m, p }

// once runs a function with the arguments in Args to the end of the program, and takes
// back what it kept.
func (m *machine) once(p *Program, f *function) error {
	s := m.state
	m.prog, m.c.Tails = p, isa.MaxTailCalls
	if m.refill(f.insn, s.Budget) {
		m.call(f, m.top)
	}
	if m.err != nil && m.err == errThrown {
		m.caught()
	}
	s.Budget += m.c.Budget
	if m.err != nil || m.c.Record != 0 || s.Keeps() {
		return p.End(s, p.exit, m.err)
	}
	return nil
}

// leave forgets the run.
func (m *machine) leave() {
	m.first, m.prog, m.err = nil, nil, nil
}

// within executes a program for a helper of another one, whose frames are parked.
func (m *machine) within(p *Program, f *function, args func() ([5]uint64, [5]exec.Prov)) (uint64, error) {
	outer, context := m.run, *m.c
	attach := m.state.Attach
	defer func() { m.run, *m.c, m.state.Attach = outer, context, attach }()
	m.run, m.c.Record = run{top: context.SP &^ 15}, 0
	return m.execute(p, f, args)
}

// call runs a function on a frame that begins at sp, with the arguments in Args, and
// leaves its result in R0.
func (m *machine) call(f *function, sp uintptr) {
	if sp-m.stack < f.room {
		m.overflow(f, sp)
		return
	}
	m.c.Func, m.c.SP = f.addr, sp
	enter(m.c, f.enter)
	if m.c.Exit != abi.ExitDone || m.c.Sent.Kind != 0 {
		m.serve()
	}
}

// overflow ends the run where a function's frames do not fit into the stack below sp.
func (m *machine) overflow(f *function, sp uintptr) {
	m.err = m.prog.Fault(f.insn, fmt.Sprintf("the function takes %d bytes of the native stack, of which %d are left: calls, tail calls and callbacks lie too deep in one another", f.room, sp-m.stack))
}

// serve does what native code has exited for, and so on.
func (m *machine) serve() {
	returned := false
	defer func() {
		if !returned { // a helper panics
			m.leave()
		}
	}()
	for {
		if m.c.Sent.Kind != 0 {
			m.send()
		}
		if m.c.Exit == abi.ExitDone {
			break
		}
		p := m.prog
		if !p.has(m.c.Resume) { // since a tail call or the return from one
			p = m.owner(m.c.Resume)
			m.prog = p
		}
		if m.c.Exit == abi.ExitHelper {
			m.c.R0 = p.helpers[m.c.Arg](m.state, m.c.Args[0], m.c.Args[1], m.c.Args[2], m.c.Args[3], m.c.Args[4])
		} else {
			m.exited(p)
		}
		if m.err != nil {
			break
		}
		enter(m.c, p.resume)
	}
	returned = true
}

// send notes where native code has sent the packet.
func (m *machine) send() {
	to := &m.c.Sent
	m.state.Redirect = exec.Redirect{
		Kind: exec.RedirectKind(to.Kind - 1), Ifindex: to.Ifindex, Map: maps.Handle(to.Map), Prog: to.Prog,
		Key: to.Key, Flags: to.Flags,
	}
	to.Kind = 0
}

// owner is the program whose code ends behind an address or has it.
func (m *machine) owner(behind uintptr) *Program {
	if m.first.has(behind) {
		return m.first
	}
	p := programAt(behind)
	if p == nil {
		panic("unreachable: native code exits, and is no program's")
	}
	return p
}

// refill begins the next slice of a budget that has so much left; false where the run
// ends, at an instruction.
func (m *machine) refill(insn int, left int64) bool {
	s := m.state
	err := error(interp.ErrBudget)
	if left >= 0 {
		err = s.Context.Err()
	}
	if err != nil {
		s.Budget, m.c.Budget = left, 0
		m.err = fmt.Errorf("program %s ended at instruction %d: %w", m.prog.Name(), insn, err)
		return false
	}
	n := min(left, slice)
	s.Budget, m.c.Budget = left-n, n
	return true
}

// charge takes what Go lets native code do from the budget; false where the run ends.
func (m *machine) charge(f *function) bool {
	m.c.Budget -= f.cost
	return m.c.Budget >= 0 || m.refill(f.insn, m.state.Budget+m.c.Budget)
}

// Callback implements [exec.Engine]: it runs a function of the program that called
// the helper, on frames below those that are parked.
func (m *machine) Callback(_ *exec.State, fn uint32, args *[5]uint64, _ *[5]exec.Prov) (uint64, error) {
	if m.err != nil {
		return 0, m.err
	}
	p, sp, resume := m.prog, m.c.SP, m.c.Resume
	f := p.function(int(fn))
	if f == nil {
		m.err = p.Fault(int(fn), "a helper calls this instruction, which begins no function")
		return 0, m.err
	}
	if !m.charge(f) {
		return 0, m.err
	}
	m.c.Args = *args
	if m.call(f, sp&^15); m.err != nil {
		return 0, m.err
	}
	m.prog, m.c.SP, m.c.Resume = p, sp, resume
	return m.c.R0, nil
}

// Func implements [exec.Engine].
func (m *machine) Func(fn uint32) exec.Func {
	return later{m.prog, m.prog.function(int(fn))}
}

// Throw implements [exec.Engine].
func (m *machine) Throw(result uint64) {
	if m.err == nil {
		m.err, m.thrown = errThrown, result
	}
}

// Fail implements [exec.Engine].
func (m *machine) Fail(err error) {
	if m.err == nil {
		m.err = err
	}
}

// caught goes on where an exception leads: in the function that the program names,
// on its first frame and with the number that was thrown, or else to the end with
// that number as the result.
func (m *machine) caught() {
	m.err, m.c.R0 = nil, m.thrown
	insn := m.prog.Input().Exception
	if insn == 0 {
		return
	}
	f := m.prog.function(insn)
	if !m.charge(f) {
		return
	}
	m.c.Args[0] = m.thrown
	if m.call(f, m.top); m.err == errThrown {
		m.err = m.prog.Fault(insn, "the function that an exception goes on in throws one itself")
	}
}
