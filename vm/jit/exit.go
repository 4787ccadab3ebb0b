package jit

import (
	"fmt"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/interp"
	"github.com/skep-ebpf/skep/vm/jit/abi"
	"github.com/skep-ebpf/skep/vm/maps"
)

// exited does what native code exits for, other than a helper's call.
func (m *machine) exited(p *Program) {
	insn := int(m.c.Arg)
	switch m.c.Exit {
	case abi.ExitCallX:
		m.callX(p)
	case abi.ExitTailCall:
		m.c.Arg = 0
		m.tailCall(p, insn)
	case abi.ExitSlow:
		m.c.R0, m.err = slow(p, m.state, insn, &m.c.Args)
	case abi.ExitPacket:
		m.c.Arg = 0
		m.packet(p, insn)
	case abi.ExitFuel:
		m.refill(insn, m.state.Budget+m.c.Budget)
	case abi.ExitTrap:
		why, ok := p.Trap(insn)
		if !ok {
			why = "the verifier found no way here"
		}
		m.err = p.Fault(insn, why)
	default:
		panic(fmt.Sprintf("unreachable: native code exits for %d", m.c.Exit))
	}
}

// slow does an access that native code does not do itself, or an arena's cast.
func slow(p *Program, s *exec.State, insn int, args *[5]uint64) (uint64, error) {
	switch ins := p.Input().Insns[insn]; {
	case ins.Class() != isa.ClassALU64:
		return p.Slow(s, insn, args[0], args[1], args[2])
	case ins.Imm == 1:
		return p.ToArena(args[0]), nil
	default:
		return p.FromArena(args[0]), nil
	}
}

// packet is LD_ABS and LD_IND.
func (m *machine) packet(p *Program, insn int) {
	var ok bool
	if m.c.R0, ok = p.LoadPacket(m.state, insn, m.c.Args[1]); !ok {
		m.c.Arg = 1 // ends the function
	}
}

// callX calls the helper whose number a register had.
func (m *machine) callX(p *Program) {
	h, err := p.HelperOf(p.insn(m.c.Resume), m.c.Arg)
	if err != nil {
		m.err = err
		return
	}
	m.c.R0 = h.Func(m.state, m.c.Args[0], m.c.Args[1], m.c.Args[2], m.c.Args[3], m.c.Args[4])
}

// tailCall has native code go on in another program, or behind the call where there is
// none or too many were called before. A program that only the interpreter runs is
// run here, and native code returns its result.
func (m *machine) tailCall(p *Program, insn int) {
	array, ok := maps.Get(maps.Handle(m.c.Args[1])).(maps.ProgArray)
	index := uint32(m.c.Args[2])
	if !ok || index >= array.Info().MaxEntries || m.c.Tails == 0 {
		return
	}
	switch next := array.Prog(index).(type) {
	case *Program:
		if m.c.SP-m.stack < next.main.room {
			m.overflow(next.main, m.c.SP)
			return
		}
		m.c.Tails--
		m.c.Arg = uint64(next.main.addr)
	case *interp.Program:
		if !next.Verified() {
			m.err = p.Fault(insn, fmt.Sprintf("tail call of program %s, which the verifier did not see: the run has to be checked", next.Name()))
			return
		}
		m.c.R0, m.err = m.interpret(next)
		m.c.Arg = uint64(p.ret)
	}
}

// interpret runs the rest of a run in the interpreter.
func (m *machine) interpret(next *interp.Program) (uint64, error) {
	s := m.state
	s.Budget += m.c.Budget
	m.c.Budget = 0
	r0, err := next.Continue(s, isa.MaxTailCalls+1-int(m.c.Tails))
	s.Engine = m
	return r0, err
}
