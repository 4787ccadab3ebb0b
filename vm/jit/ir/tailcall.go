package ir

import (
	"github.com/skep-ebpf/skep/vm/jit/abi"
	"github.com/skep-ebpf/skep/vm/maps"
)

// shortProgram is how many instructions a program may execute before a tail call without
// taking them from the budget: a run may make few tail calls.
const shortProgram = 1000

// tailCallExpansion is expansion for a tail call through a program array that is known.
// Functions other than that where a program begins leave for it: only there is it known
// how much stack is left.
func (e *expander) tailCallExpansion(s site) func(*expander, site) {
	if e.f.Entry != 0 {
		return nil
	}
	if s.call.Off == 0 {
		e.findMapIn(s, 2)
	}
	if _, ok := e.mapOf(s.call).(maps.ProgArray); !ok {
		return nil
	}
	return (*expander).tailCall
}

// tailCall is bpf_tail_call: it goes on where the array says that machine code of the
// program begins. Go is asked where the array has a program without.
func (e *expander) tailCall(s site) {
	array := e.mapOf(s.call).(maps.ProgArray)
	none, next := e.block(), e.block()
	e.add(Ins{Op: Zext, Size: 8, Width: 4, Dst: 3, A: 3, B: None, C: None})
	e.branch(Cold, Uge, 3, None, uint64(array.Info().MaxEntries), next)
	e.constant(4, uint64(array.Entries()))
	e.add(Ins{Op: Load, Width: 8, Dst: 0, A: 4, B: 3, C: None, N: 3})
	e.branch(Cold, Ule, 0, None, maps.EntryInGo, none)
	e.op(Context, 4, None, None)
	e.load(Load, 5, 4, int(abi.OffTails), 8)
	e.branch(Cold, Eq, 5, None, 0, next)
	e.imm(Sub, 5, 5, 1)
	e.store(4, int(abi.OffTails), 5, 8)
	if s.call.At > shortProgram {
		e.add(Ins{Op: Fuel, Dst: None, A: None, B: None, C: None, Imm: int64(s.call.At)})
	}
	e.add(Ins{Op: Become, Dst: None, A: 0, B: None, C: None})
	e.end(-1, -1)
	e.beginCold(none)
	e.branch(0, Eq, 0, None, 0, next)
	e.copy(*s.call)
	e.jump(next)
	e.begin(next)
	e.run(s.rest, s.succ)
}
