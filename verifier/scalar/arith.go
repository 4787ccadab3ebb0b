package scalar

import (
	"math"
	"math/bits"

	"github.com/skep-ebpf/skep/isa"
)

// Op applies an ALU operation other than MOV and END to v, with w as the second
// operand: v op= w. The operation is one of isa.AluX; signed is for DIV and MOD.
// NEG ignores w. Shifts by and divisions by what is not known give any number, as
// do shifts by the word's width or more.
func (v *Value) Op(by Rules, op uint8, signed bool, w *Value) {
	if v.IsConst() && w.IsConst() {
		if x, ok := Eval(op, signed, v.Bits.Value, w.Bits.Value); ok {
			*v = Const(x)
			return
		}
	}
	if by >= Before610 && lacksOperand(op, w, w.IsConst()) {
		*v = unknown
		return
	}
	b := *w // may be v
	wide, narrow := v.wide(), v.narrow()
	bw, bn := b.wide(), b.narrow()
	switch op {
	case isa.AluADD:
		v.Bits = v.Bits.Add(b.Bits)
		v.setWide(add(by, &wide, &bw))
		v.setNarrow(add(by, &narrow, &bn))
	case isa.AluSUB:
		v.Bits = v.Bits.Sub(b.Bits)
		v.setWide(sub(by, &wide, &bw))
		v.setNarrow(sub(by, &narrow, &bn))
	case isa.AluNEG:
		b = Const(0)
		bw, bn = b.wide(), b.narrow()
		v.Bits = b.Bits.Sub(v.Bits)
		v.setWide(bw.sub(&wide))
		v.setNarrow(bn.sub(&narrow))
	case isa.AluMUL:
		v.Bits = mulBits(by, v.Bits, b.Bits)
		v.setWide(mul(by, &wide, &bw))
		v.setNarrow(mul(by, &narrow, &bn))
	case isa.AluAND:
		v.Bits = v.Bits.And(b.Bits)
		v.setWide(wide.and(&bw, v.Bits))
		v.setNarrow(narrow.and(&bn, v.Bits))
	case isa.AluOR:
		v.Bits = v.Bits.Or(b.Bits)
		v.setWide(wide.or(&bw, v.Bits))
		v.setNarrow(narrow.or(&bn, v.Bits.Low(4)))
	case isa.AluXOR:
		v.Bits = v.Bits.Xor(b.Bits)
		v.setWide(wide.xor(v.Bits))
		v.setNarrow(narrow.xor(v.Bits.Low(4)))
	case isa.AluLSH, isa.AluRSH, isa.AluARSH:
		if !b.IsConst() || b.UMax > 63 {
			*v = unknown
			return
		}
		v.shift(by, op, uint(b.UMax))
	case isa.AluDIV, isa.AluMOD:
		if !b.IsConst() {
			*v = unknown
			return
		}
		v.divide(op, signed, b.UMax)
	default:
		*v = unknown
		return
	}
	v.Sync(by)
}

// Move adds the distance to a linked number. Linux before 6.18 does not let the parts of
// the sum learn from each other.
func (v *Value) Move(by Rules, distance int64) {
	d := Const(uint64(distance))
	if by < Before617 {
		v.Op(by, isa.AluADD, false, &d)
		return
	}
	wide, narrow := v.wide(), v.narrow()
	dw, dn := d.wide(), d.narrow()
	v.Bits = v.Bits.Add(d.Bits)
	v.setWide(add(by, &wide, &dw))
	v.setNarrow(add(by, &narrow, &dn))
}

// shift shifts by n bits, less than 64.
func (v *Value) shift(by Rules, op uint8, n uint) {
	wide, narrow := v.wide(), v.narrow()
	v.setNarrow(all[int32, uint32]())
	switch op {
	case isa.AluLSH:
		v.Bits = v.Bits.Lsh(n)
		v.setWide(wide.lsh(n))
		if n == 32 && by >= Before515 && narrow.smin < 0 {
			narrow.smin = math.MinInt32
			if narrow.smax < 0 {
				narrow.smax = math.MaxInt32
			}
		}
		if n == 32 { // as compilers begin to extend a sign: it becomes that of the whole
			v.SMin, v.SMax = max(v.SMin, int64(narrow.smin)<<32), min(v.SMax, int64(narrow.smax)<<32)
		}
		if n < 32 {
			v.setNarrow(narrow.lsh(n))
		}
	case isa.AluRSH:
		v.Bits = v.Bits.Rsh(n)
		v.setWide(wide.rsh(n))
	case isa.AluARSH:
		v.Bits = v.Bits.arsh(n)
		v.setWide(wide.arsh(n))
	}
}

// divide divides by d or takes the remainder. By 0 the quotient is 0 and the
// remainder the number.
func (v *Value) divide(op uint8, signed bool, d uint64) {
	if d == 0 {
		v.divideByZero(op)
		return
	}
	wide := v.wide()
	if wide, same := wide.divided(op, signed, int64(d), d); !same {
		*v = unknown
		v.setWide(wide)
	}
}

func (v *Value) divideByZero(op uint8) {
	if op == isa.AluDIV {
		*v = Const(0)
	}
}

// divided is the quotient by a number that is not 0, given as signed and unsigned, or
// the remainder; same says that the remainder is the word itself.
func (s *span[S, U]) divided(op uint8, signed bool, sd S, d U) (r span[S, U], same bool) {
	switch {
	case op == isa.AluDIV && signed:
		return s.sdiv(sd), false
	case op == isa.AluDIV:
		return s.div(d), false
	case signed:
		return s.smod(sd)
	}
	return s.mod(d)
}

// Op32 is [Value.Op] on the lower halves; the upper half of the result is 0. Only
// where a shift or division gives any number, that is any of 64 bits.
func (v *Value) Op32(by Rules, op uint8, signed bool, w *Value) {
	x, xok := v.Const32()
	y, yok := w.Const32()
	if xok && yok {
		if r, ok := Eval32(op, signed, x, y); ok && (!isShift(op) || w.UMax < 32) {
			*v = Const(uint64(r))
			return
		}
	}
	if by >= Before610 && lacksOperand(op, w, yok) {
		*v = unknown
		return
	}
	b := w.narrow()
	narrow := v.narrow()
	low, bl := v.Bits.Low(4), w.Bits.Low(4)
	switch op {
	case isa.AluADD:
		low = low.Add(bl)
		narrow = add(by, &narrow, &b)
	case isa.AluSUB:
		low = low.Sub(bl)
		narrow = sub(by, &narrow, &b)
	case isa.AluNEG:
		low = Tnum{}.Sub(low)
		zero := span[int32, uint32]{}
		narrow = zero.sub(&narrow)
	case isa.AluMUL:
		low = mulBits(by, low, bl)
		narrow = mul(by, &narrow, &b)
	case isa.AluAND:
		low = low.And(bl)
		narrow = narrow.and(&b, low)
	case isa.AluOR:
		low = low.Or(bl)
		narrow = narrow.or(&b, low)
	case isa.AluXOR:
		low = low.Xor(bl)
		narrow = narrow.xor(low)
	case isa.AluLSH, isa.AluRSH, isa.AluARSH:
		if !yok || w.UMax > 31 {
			*v = unknown
			return
		}
		n := uint(y)
		switch op {
		case isa.AluLSH:
			low, narrow = low.Lsh(n), narrow.lsh(n)
		case isa.AluRSH:
			low, narrow = low.Rsh(n), narrow.rsh(n)
		default:
			low, narrow = low.arsh32(n), narrow.arsh(n)
		}
	case isa.AluDIV, isa.AluMOD:
		if !yok {
			*v = unknown
			return
		}
		v.divide32(op, signed, y)
		v.ZeroExtend(by)
		return
	default:
		*v = unknown
		return
	}
	v.Bits = low
	v.setNarrow(narrow)
	v.ZeroExtend(by)
}

func (v *Value) divide32(op uint8, signed bool, d uint32) {
	if d == 0 {
		v.divideByZero(op)
		return
	}
	narrow := v.narrow()
	if narrow, same := narrow.divided(op, signed, int32(d), d); !same {
		*v = unknown
		v.setNarrow(narrow)
	}
}

// lacksOperand reports whether Linux before 6.10 gives up for want of a known operand, or
// because it is none at all, as behind a condition that cannot hold.
func lacksOperand(op uint8, w *Value, known bool) bool {
	switch op {
	case isa.AluNEG:
		return false
	case isa.AluADD, isa.AluSUB, isa.AluAND:
		return w.IsEmpty()
	}
	return !known || w.IsEmpty()
}

func add[S signedWord, U word](by Rules, a, b *span[S, U]) span[S, U] {
	if by >= Before617 {
		return a.addEarly(b)
	}
	return a.add(b)
}

func sub[S signedWord, U word](by Rules, a, b *span[S, U]) span[S, U] {
	if by >= Before617 {
		return a.subEarly(b)
	}
	return a.sub(b)
}

func mul[S signedWord, U word](by Rules, a, b *span[S, U]) span[S, U] {
	if by >= Before617 {
		return a.mulEarly(b)
	}
	return a.mul(b)
}

func mulBits(by Rules, a, b Tnum) Tnum {
	switch {
	case by >= Before515:
		return a.mulEarliest(b)
	case by >= Before617:
		return a.mulEarly(b)
	}
	return a.Mul(b)
}

func isShift(op uint8) bool { return op == isa.AluLSH || op == isa.AluRSH || op == isa.AluARSH }

// ZeroExtend clears the upper half.
func (v *Value) ZeroExtend(by Rules) {
	v.Bits = v.Bits.Low(4)
	if by >= Before68 {
		v.fromZeroExtended()
	} else {
		v.setWide(arc[int64](uint64(v.U32Min), uint64(v.U32Max)))
	}
	v.Sync(by)
}

// Truncate keeps the lowest size bytes (1, 2 or 4) and clears the others.
func (v *Value) Truncate(by Rules, size int) {
	keep := uint64(math.MaxUint64) >> (64 - 8*size)
	lo, hi := uint64(0), keep
	if v.UMin&^keep == v.UMax&^keep {
		lo, hi = v.UMin&keep, v.UMax&keep
	}
	v.Bits = v.Bits.Low(size)
	v.setWide(arc[int64](lo, hi))
	switch {
	case size < 4 && by >= Before68:
		v.spreadWhole()
	case size < 4:
		v.setNarrow(all[int32, uint32]())
	}
	v.Sync(by)
}

// SignExtend makes the lowest size bytes (1, 2 or 4), read as signed, the whole.
func (v *Value) SignExtend(by Rules, size int) {
	n := 64 - 8*size
	extend := func(x uint64) int64 { return int64(x<<n) >> n }
	if v.IsConst() {
		*v = Const(uint64(extend(v.Bits.Value)))
		return
	}
	lo, hi := int64(math.MinInt64)>>n, int64(math.MaxInt64)>>n
	if v.SMin>>(64-n) == v.SMax>>(64-n) {
		a, b := extend(uint64(v.SMin)), extend(uint64(v.SMax))
		if (a < 0) == (b < 0) {
			lo, hi = min(a, b), max(a, b)
		}
	}
	*v = unknown
	v.setWide(arc[int64](uint64(lo), uint64(hi)))
	v.setNarrow(arc[int32](uint32(lo), uint32(hi)))
	v.Sync(by)
}

// SignExtend32 makes the lowest size bytes (1 or 2), read as signed, the lower
// half, and clears the upper one.
func (v *Value) SignExtend32(by Rules, size int) {
	n := 32 - 8*size
	extend := func(x uint32) int32 { return int32(x<<n) >> n }
	if v.IsConst() {
		*v = Const(uint64(uint32(extend(uint32(v.Bits.Value)))))
		return
	}
	lo, hi := int32(math.MinInt32)>>n, int32(math.MaxInt32)>>n
	if v.S32Min>>(32-n) == v.S32Max>>(32-n) {
		a, b := extend(uint32(v.S32Min)), extend(uint32(v.S32Max))
		if (a < 0) == (b < 0) {
			lo, hi = min(a, b), max(a, b)
		}
	}
	v.Bits = Tnum{Mask: math.MaxUint32}
	v.setNarrow(arc[int32](uint32(lo), uint32(hi)))
	v.ZeroExtend(by)
}

// ByteSwap reverses the lowest size bytes (2, 4 or 8) and clears the others.
func (v *Value) ByteSwap(by Rules, size int) {
	b := v.Bits.swap(size)
	*v = unknown
	v.Bits = b
	v.Sync(by)
}

// Eval computes an operation on numbers as a processor does. It fails where a
// shift is by 64 or more, and for what is not an operation of [Value.Op].
func Eval(op uint8, signed bool, a, b uint64) (uint64, bool) {
	switch op {
	case isa.AluADD:
		return a + b, true
	case isa.AluSUB:
		return a - b, true
	case isa.AluMUL:
		return a * b, true
	case isa.AluNEG:
		return -a, true
	case isa.AluAND:
		return a & b, true
	case isa.AluOR:
		return a | b, true
	case isa.AluXOR:
		return a ^ b, true
	case isa.AluLSH:
		return a << (b & 63), b < 64
	case isa.AluRSH:
		return a >> (b & 63), b < 64
	case isa.AluARSH:
		return uint64(int64(a) >> (b & 63)), b < 64
	case isa.AluDIV:
		switch {
		case b == 0:
			return 0, true
		case signed:
			return uint64(int64(a) / int64(b)), true
		}
		return a / b, true
	case isa.AluMOD:
		switch {
		case b == 0:
			return a, true
		case signed:
			return uint64(int64(a) % int64(b)), true
		}
		return a % b, true
	}
	return 0, false
}

// Eval32 is [Eval] on lower halves.
func Eval32(op uint8, signed bool, a, b uint32) (uint32, bool) {
	if isShift(op) && b > 31 {
		return 0, false
	}
	x, y := uint64(a), uint64(b)
	if divides := op == isa.AluDIV || op == isa.AluMOD; divides && signed || op == isa.AluARSH {
		x = uint64(int64(int32(a)))
		y = uint64(int64(int32(b)))
	}
	r, ok := Eval(op, signed, x, y)
	return uint32(r), ok
}

// swapBytes is [Value.ByteSwap] of a number.
func swapBytes(x uint64, size int) uint64 { return bits.ReverseBytes64(x) >> (64 - 8*size) }

// SetLow makes the lower half a known number.
func (v *Value) SetLow(x uint32) {
	v.Bits = v.Bits.withLow32(Tnum{Value: uint64(x)})
	v.setNarrow(arc[int32](x, x))
}

// ForgetLow keeps nothing of the lower half's intervals.
func (v *Value) ForgetLow() { v.setNarrow(all[int32, uint32]()) }

// ForgetRanges keeps nothing of the intervals, but for what the bits tell.
func (v *Value) ForgetRanges() {
	b := v.Bits
	*v = unknown
	v.Bits = b
}
