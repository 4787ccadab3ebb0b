package arm64

import (
	"github.com/skep-ebpf/skep/vm/jit/abi"
	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// call emits a call of another function, or of Go.
func (e *emitter) call(i *ir.Ins) {
	saved := e.saved(i)
	e.save(saved)
	switch i.Op {
	case ir.Call:
		e.callFunc(i)
	case ir.Helper:
		e.exit(i, abi.ExitHelper, uint64(i.Imm))
	case ir.CallX:
		e.move(8, scratch1, e.reg(i, i.A))
		e.leave(i, abi.ExitCallX)
	case ir.TailCall:
		e.exit(i, abi.ExitTailCall, uint64(i.At))
		e.behindTailCall()
	case ir.Slow:
		e.arguments(i, i.A, i.C, i.B)
		e.exit(i, abi.ExitSlow, uint64(i.At))
		if i.Dst != ir.None {
			e.move(8, e.reg(i, i.Dst), Target.Fixed[0])
		}
	case ir.Packet:
		e.arguments(i, i.A, i.B)
		e.exit(i, abi.ExitPacket, uint64(i.At))
		e.behindPacket()
	}
	e.restore(saved)
}

// callFunc emits a call of a function of the program.
func (e *emitter) callFunc(i *ir.Ins) {
	d := e.entries[i.Imm] - e.here()
	if !fits(bl, d) {
		e.fail(i, "function %d is too far away for arm64", i.Imm)
		return
	}
	e.emit(distance(bl, d))
}

// exit leaves native code, and goes on behind it.
func (e *emitter) exit(i *ir.Ins, code, arg uint64) {
	e.constant(scratch1, arg)
	e.leave(i, code)
}

// leave is exit with the argument in scratch1.
func (e *emitter) leave(i *ir.Ins, code uint64) {
	e.constant(scratch0, code)
	e.emit(distance(adr.d(resumeAt), 2))
	e.forGood(i)
}

// forGood jumps to the leave stub.
func (e *emitter) forGood(i *ir.Ins) {
	d := e.leaving - e.here()
	if !fits(b, d) {
		e.fail(i, "the program is too long for arm64")
		return
	}
	e.emit(distance(b, d))
}

// behindTailCall goes to where Go says that another program begins, if it does.
func (e *emitter) behindTailCall() {
	on := e.label()
	e.context(tmp2)
	e.contextWord(isLoad, tmp1, tmp2, abi.OffArg)
	e.jump(cbz.sized(8).d(tmp1), on)
	e.contextWord(isLoad, Target.Fixed[1], tmp2, abi.OffArgs)
	e.giveBack()
	e.emit(br.n(tmp1))
	e.bind(on)
}

// behindPacket returns if Go says that the load was outside the packet.
func (e *emitter) behindPacket() {
	on := e.label()
	e.context(tmp2)
	e.contextWord(isLoad, tmp1, tmp2, abi.OffArg)
	e.jump(cbz.sized(8).d(tmp1), on)
	e.epilogue()
	e.bind(on)
}

// arguments moves variables into R1, R2, .. all at once; None leaves one as it is.
func (e *emitter) arguments(i *ir.Ins, vars ...ir.Var) {
	var from [6]reg // by the register that it moves to; NoReg: done
	for d := range from {
		from[d] = ir.NoReg
	}
	for n, v := range vars {
		if d := Target.Fixed[n+1]; v != ir.None && e.reg(i, v) != d {
			from[d] = e.reg(i, v)
		}
	}
	// A move may be done when nothing else comes from where it goes. Where there is
	// none, moves go in a circle: one source steps aside.
	for {
		moved, waits := false, ir.NoReg
		for d := range from {
			if from[d] == ir.NoReg {
				continue
			}
			waits = reg(d)
			needed := false
			for o := range from {
				needed = needed || o != d && from[o] == reg(d)
			}
			if !needed {
				e.move(8, reg(d), from[d])
				from[d], moved = ir.NoReg, true
			}
		}
		if waits == ir.NoReg {
			return
		}
		if !moved {
			e.move(8, tmp0, waits)
			for o := range from {
				if from[o] == waits {
					from[o] = tmp0
				}
			}
		}
	}
}

// fuel takes from the budget, and goes to what follows the function's other code
// when it goes below zero.
func (e *emitter) fuel(i *ir.Ins) {
	if imm, ok := arithmetic(uint64(i.Imm)); ok {
		e.emit(subsImm.sized(8).d(budget).n(budget).imm12(imm))
	} else {
		e.constant(tmp0, uint64(i.Imm))
		e.emit(subsReg.sized(8).d(budget).n(budget).m(tmp0))
	}
	const negative = 4
	c := cold{i, e.label(), e.label()}
	e.jump(bcond|negative, c.label)
	e.bind(c.back)
	e.colds = append(e.colds, c)
}

func (e *emitter) outOfFuel(i *ir.Ins) {
	saved := e.saved(i)
	e.save(saved)
	e.exit(i, abi.ExitFuel, uint64(i.At))
	e.restore(saved)
}

// trap leaves native code where it does not go on.
func (e *emitter) trap(i *ir.Ins) {
	e.exit(i, abi.ExitTrap, uint64(i.At))
}
