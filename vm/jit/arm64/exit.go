package arm64

import (
	"github.com/skep-ebpf/skep/vm/jit/abi"
	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// coldKind is what a piece of code does that is hardly ever needed.
type coldKind uint8

const (
	coldFuel     coldKind = iota // the budget is used up
	coldReturn                   // a packet load has ended the function
	coldTailCall                 // another program takes over
)

// cold is such a piece. It lies behind the function's other code.
type cold struct {
	kind        coldKind
	ins         *ir.Ins
	label, back int32
}

// later puts off a piece of code, which goes on here, and is jumped to.
func (e *Emitter) later(kind coldKind, i *ir.Ins, jump form) {
	c := cold{kind, i, e.label(), e.label()}
	e.colds = append(e.colds, c)
	e.jump(jump, c.label)
	e.bind(c.back)
}

// cold emits a piece of code that was put off.
func (e *Emitter) cold(c cold) {
	e.bind(c.label)
	switch c.kind {
	case coldFuel:
		e.refuel(c.ins, c.back)
	case coldReturn:
		e.epilogue()
	case coldTailCall:
		e.contextWord(isLoad, Target.Fixed[1], context, abi.OffArgs)
		e.giveBack()
		e.emit(br.n(tmp1))
	}
}

// backTo emits a jump or call to code that is finished.
func (e *Emitter) backTo(f form, to int32) {
	d := to - e.here()
	if !fits(f, d) && e.err == nil {
		e.err = errTooLong
	}
	e.emit(distance(f, d))
}

// call emits a call of another function of the program.
func (e *Emitter) call(i *ir.Ins) {
	saved := e.prog.Saved(i)
	e.save(saved)
	e.backTo(bl, int32(e.out.Entries[i.Imm]/4))
	e.deep = max(e.deep, int32(e.out.Stacks[i.Imm]))
	e.restore(saved)
}

// leave leaves native code with the argument in exitArg, and goes on here.
func (e *Emitter) leave(code uint64) {
	e.constant(exitCode, code)
	e.emit(distance(adr.d(resumeAt), 2))
	e.backTo(b, leaving)
}

// exits say why each operation leaves.
var exits = [...]uint64{
	ir.Helper:   abi.ExitHelper,
	ir.CallX:    abi.ExitCallX,
	ir.TailCall: abi.ExitTailCall,
	ir.Slow:     abi.ExitSlow,
	ir.Packet:   abi.ExitPacket,
}

// exit has Go do what an instruction does.
func (e *Emitter) exit(i *ir.Ins) {
	saved := e.prog.Saved(i)
	e.save(saved)
	switch i.Op {
	case ir.Helper:
		e.constant(exitArg, uint64(i.Imm))
	case ir.CallX:
		e.move(8, exitArg, e.reg(i, i.A))
	case ir.TailCall:
		e.constant(exitArg, uint64(i.At))
	case ir.Slow, ir.Packet:
		e.arguments(i)
		e.constant(exitArg, uint64(i.At))
	}
	e.leave(exits[i.Op])
	switch i.Op {
	case ir.TailCall:
		e.unless(coldTailCall, i)
	case ir.Packet:
		e.unless(coldReturn, i)
	}
	if i.Dst != ir.None {
		e.move(8, e.reg(i, i.Dst), Target.Fixed[0])
	}
	e.restore(saved)
}

// unless goes to a piece of code unless Go has set Context.Arg, which is in tmp1 then,
// to 0.
func (e *Emitter) unless(kind coldKind, i *ir.Ins) {
	e.contextWord(isLoad, tmp1, context, abi.OffArg)
	e.later(kind, i, cbnz.sized(8).d(tmp1))
}

// fuel takes from the budget, and leaves where nothing is left.
func (e *Emitter) fuel(i *ir.Ins) {
	e.take(i)
	e.later(coldFuel, i, bcond|negative)
}

// fuelJump is fuel that a jump follows. There is no jump but that one.
func (e *Emitter) fuelJump(i *ir.Ins, to int32) {
	e.take(i)
	e.jump(bcond|notNegative, to)
	e.refuel(i, to)
}

// The conditions behind what take emits.
const (
	negative    = 4
	notNegative = 5
)

// take takes from the budget.
func (e *Emitter) take(i *ir.Ins) {
	e.deep = max(e.deep, fuelStack)
	if imm, ok := arithmetic(uint64(i.Imm)); ok {
		e.emit(subsImm.sized(8).d(budget).n(budget).imm12(imm))
		return
	}
	e.constant(tmp0, uint64(i.Imm))
	e.emit(subsReg.sized(8).d(budget).n(budget).m(tmp0))
}

// refuel leaves for more, and goes on at a label.
func (e *Emitter) refuel(i *ir.Ins, back int32) {
	e.constant(exitArg, uint64(i.At))
	e.emit(distance(adr.d(fuelBack), 2))
	e.backTo(b, e.outOfFuel)
	e.jump(b, back)
}

// trap leaves for good.
func (e *Emitter) trap(i *ir.Ins) {
	e.constant(exitArg, uint64(i.At))
	e.leave(abi.ExitTrap)
}

// arguments moves what an instruction that Go does works on to R1, R2 and R3: address
// or R6, what is stored or the index, what is expected.
func (e *Emitter) arguments(i *ir.Ins) {
	vars := [3]ir.Var{i.A, i.C, i.B}
	if i.Op == ir.Packet {
		vars = [3]ir.Var{i.A, i.B, ir.None}
	}
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
