package arm64

import (
	"math/bits"

	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// fused emits two instructions as one, and reports whether the machine has one that does
// what both do.
func (e *Emitter) fused(i, j *ir.Ins) bool {
	switch i.Op {
	case ir.Load, ir.Store:
		return e.paired(i, j)
	case ir.And, ir.Mul, ir.Shl, ir.Shr, ir.Sar, ir.Rol:
	default:
		return false
	}
	if i.Dst != j.Dst || i.Size != j.Size {
		return false
	}
	switch {
	case i.Op == ir.Mul:
		return e.multiplied(i, j)
	case i.B == ir.None && j.B == ir.None && j.A == i.Dst:
		return e.field(i, j)
	case i.B == ir.None && i.Op != ir.And:
		return e.shifted(i, j)
	}
	return false
}

// beside gives the operand of j that is not what i gives.
func beside(i, j *ir.Ins) (ir.Var, bool) {
	switch {
	case j.B == ir.None || (j.A == i.Dst) == (j.B == i.Dst):
		return 0, false
	case j.B == i.Dst:
		return j.A, true
	}
	return j.B, j.Op != ir.Sub // from which it would be subtracted
}

// multiplied emits a product that is added to something or subtracted from it.
func (e *Emitter) multiplied(i, j *ir.Ins) bool {
	f := madd
	if j.Op == ir.Sub {
		f = msub
	}
	other, ok := beside(i, j)
	if !ok || j.Op != ir.Add && j.Op != ir.Sub {
		return false
	}
	n, m := e.reg(i, i.A), e.second(i)
	e.emit(f.sized(i.Size).d(e.reg(j, j.Dst)).n(n).m(m).a(e.reg(j, other)))
	return true
}

// shiftings have how the second operand of an operation is shifted; a rotated one is that
// of a logical operation.
var shiftings = [...]form{
	ir.Shl: 0,
	ir.Shr: 1 << 22,
	ir.Sar: 2 << 22,
	ir.Rol: 3 << 22,
}

// shifted emits an operation of which one operand is shifted before.
func (e *Emitter) shifted(i, j *ir.Ins) bool {
	logical := j.Op == ir.And || j.Op == ir.Or || j.Op == ir.Xor
	other, ok := beside(i, j)
	if !ok || !logical && (j.Op != ir.Add && j.Op != ir.Sub || i.Op == ir.Rol) {
		return false
	}
	last := 8*i.Size - 1
	count := uint8(i.Imm) & last
	if i.Op == ir.Rol {
		count = -count & last
	}
	f := operations[j.Op].sized(j.Size) | shiftings[i.Op]
	e.emit(f.d(e.reg(j, j.Dst)).n(e.reg(j, other)).m(e.reg(i, i.A)).shift(count))
	return true
}

// field emits what takes some bits out of a register, or puts them somewhere: two shifts,
// or a shift and a mask.
func (e *Emitter) field(i, j *ir.Ins) bool {
	size := 8 * i.Size
	first, second := uint8(i.Imm)&(size-1), uint8(j.Imm)&(size-1)
	low, width := uint8(0), size // of the bits that stay
	turn := uint8(0)             // to the right
	f := ubfm
	switch {
	case i.Op == ir.Shl && (j.Op == ir.Shr || j.Op == ir.Sar):
		width, turn = size-first, second-first
		if j.Op == ir.Sar {
			f = sbfm
		}
	case i.Op == ir.Shr && j.Op == ir.And:
		low, turn = first, first
		width = min(ones(sized(j.Imm, j.Size)), size-low)
	case i.Op == ir.Shl && j.Op == ir.And:
		turn = -first
		width = min(ones(sized(j.Imm, j.Size)>>first), size-first)
	case i.Op == ir.And && j.Op == ir.Shl:
		turn = -second
		width = min(ones(sized(i.Imm, i.Size)), size-second)
	default:
		return false
	}
	if width == 0 {
		return false
	}
	e.emit(f.sized(i.Size).d(e.reg(j, j.Dst)).n(e.reg(i, i.A)).bits(turn&(size-1), low+width-1))
	return true
}

// ones is how many bits a mask of the lowest bits has; 0 for others.
func ones(mask uint64) uint8 {
	if mask&(mask+1) != 0 {
		return 0
	}
	return uint8(bits.Len64(mask))
}
