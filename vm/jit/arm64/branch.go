package arm64

import (
	"math/bits"

	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// conds are the machine's conditions behind a comparison, or behind an and.
var conds = [...]form{
	ir.Eq:        0,
	ir.Ne:        1,
	ir.Ult:       3,
	ir.Uge:       2,
	ir.Ule:       9,
	ir.Ugt:       8,
	ir.Slt:       11,
	ir.Sge:       10,
	ir.Sle:       13,
	ir.Sgt:       12,
	ir.TestSet:   1,
	ir.TestClear: 0,
}

// end emits the last instruction of a block, which leads to succ; the code of block
// next follows.
func (e *Emitter) end(i *ir.Ins, succ [2]int32, next int32) {
	switch i.Op {
	case ir.Jump:
		if succ[0] != next {
			e.jump(b, succ[0])
		}
	case ir.Branch:
		switch f := e.test(i); {
		case succ[0] == next:
			e.jump(opposite(f), succ[1])
		default:
			e.jump(f, succ[0])
			if succ[1] != next {
				e.jump(b, succ[1])
			}
		}
	case ir.Become:
		e.giveBack()
		e.emit(br.n(e.reg(i, i.A)))
	case ir.Return:
		e.epilogue()
	case ir.Trap:
		e.trap(i)
	default:
		e.fail(i, "operation %d is not known", i.Op)
	}
}

// test emits what a branch compares, and gives the jump that is taken if the
// condition holds.
func (e *Emitter) test(i *ir.Ins) form {
	if int(i.Cond) >= len(conds) {
		e.fail(i, "condition %d is not known", i.Cond)
		return b
	}
	if i.B == ir.None {
		if f, ok := e.oneInstruction(i); ok {
			return f
		}
	}
	n := e.reg(i, i.A)
	if i.B != ir.None {
		f := subsReg
		if i.Cond >= ir.TestSet {
			f = andsReg
		}
		e.emit(f.sized(i.Size).d(zr).n(n).m(e.reg(i, i.B)))
		return bcond | conds[i.Cond]
	}
	v := sized(i.Imm, i.Size)
	if i.Cond >= ir.TestSet {
		if mask, ok := bitmask(v, i.Size); ok {
			e.emit(andsImm.sized(i.Size).d(zr).n(n) | mask)
		} else {
			e.emit(andsReg.sized(i.Size).d(zr).n(n).m(e.second(i)))
		}
		return bcond | conds[i.Cond]
	}
	if imm, ok := arithmetic(v); ok {
		e.emit(subsImm.sized(i.Size).d(zr).n(n).imm12(imm))
	} else if imm, ok := arithmetic(sized(-i.Imm, i.Size)); ok {
		e.emit(addsImm.sized(i.Size).d(zr).n(n).imm12(imm))
	} else {
		e.emit(subsReg.sized(i.Size).d(zr).n(n).m(e.second(i)))
	}
	return bcond | conds[i.Cond]
}

// oneInstruction gives the jump for a comparison with an immediate that needs no
// instruction before it: with 0, or of a single bit.
func (e *Emitter) oneInstruction(i *ir.Ins) (form, bool) {
	n, v, sign := e.reg(i, i.A), sized(i.Imm, i.Size), 8*int(i.Size)-1
	zero := v == 0
	switch {
	case zero && (i.Cond == ir.Eq || i.Cond == ir.Ule):
		return cbz.sized(i.Size).d(n), true
	case zero && (i.Cond == ir.Ne || i.Cond == ir.Ugt):
		return cbnz.sized(i.Size).d(n), true
	case zero && i.Cond == ir.Slt:
		return tbnz.d(n).bit(sign), true
	case zero && i.Cond == ir.Sge:
		return tbz.d(n).bit(sign), true
	case i.Cond == ir.TestSet && bits.OnesCount64(v) == 1:
		return tbnz.d(n).bit(bits.TrailingZeros64(v)), true
	case i.Cond == ir.TestClear && bits.OnesCount64(v) == 1:
		return tbz.d(n).bit(bits.TrailingZeros64(v)), true
	}
	return 0, false
}
