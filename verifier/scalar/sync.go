package scalar

import "math"

// Rules say by which version's rules a set learns: the later in the list, the older, with
// all that distinguishes those before it. What Linux cannot deduce decides verdicts at
// the edge.
type Rules uint8

// The rules.
const (
	Newest    Rules = iota // of Linux 7.2
	Before72               // also of Linux 6.18
	Before617              // also of Linux 6.12: sums and products are less precise
	Before610              // an operand of *, | and ^ must be known
	Before68               // also of Linux 6.6 and 6.1: see early.go
	Before515              // of Linux 5.10
	Before57               // of Linux 5.4, which has no intervals of the lower half
	numRules
)

// Sync lets the parts of a set learn from each other, after one has changed.
func (v *Value) Sync(by Rules) {
	if by == Newest && v.IsEmpty() || v.IsConst() && *v == Const(v.Bits.Value) {
		return
	}
	if by >= Before68 {
		v.syncEarly(by)
		return
	}
	v.fromBits(by)
	// What one step learns, the next may use. Linux takes as many.
	for range 3 {
		before := *v
		v.deduce(by)
		if *v == before {
			break
		}
	}
	v.toBits(by)
	v.fromBits(by)
}

func (v *Value) wide() span[int64, uint64] {
	return span[int64, uint64]{v.SMin, v.SMax, v.UMin, v.UMax}
}

func (v *Value) narrow() span[int32, uint32] {
	return span[int32, uint32]{v.S32Min, v.S32Max, v.U32Min, v.U32Max}
}

func (v *Value) setWide(s span[int64, uint64]) {
	v.SMin, v.SMax, v.UMin, v.UMax = s.smin, s.smax, s.umin, s.umax
}

func (v *Value) setNarrow(s span[int32, uint32]) {
	v.S32Min, v.S32Max, v.U32Min, v.U32Max = s.smin, s.smax, s.umin, s.umax
}

// fromBits narrows the intervals by the known bits.
func (v *Value) fromBits(by Rules) {
	n, w := v.narrow(), v.wide()
	n.bits(v.Bits)
	w.bits(v.Bits)
	v.setNarrow(n)
	v.setWide(w)
	if by >= Before617 {
		return
	}

	// Of the numbers that the bits allow, only one may lie in the interval.
	only := v.UMin
	if !v.Bits.Has(only) {
		if only = v.Bits.above(only); only > v.UMax && only != v.Bits.Max() {
			return
		}
	}
	if only == v.Bits.Max() || v.Bits.above(only) > v.UMax {
		*v = Const(only)
	}
}

// toBits learns the bits that the unsigned intervals' bounds have in common.
func (v *Value) toBits(by Rules) {
	low := v.Bits.Low(4)
	v.Bits = v.Bits.Intersect(tnumRange(v.UMin, v.UMax))
	if by < Before515 {
		low = v.Bits.Low(4)
	}
	low = low.Intersect(tnumRange(uint64(v.U32Min), uint64(v.U32Max)))
	v.Bits = v.Bits.withLow32(low)
}

// deduce lets the halves learn from the whole, the whole from its lower half, and
// of each the signed and unsigned intervals from each other.
func (v *Value) deduce(by Rules) {
	n, w := v.narrow(), v.wide()
	if w.umax-w.umin <= math.MaxUint32 {
		n.meet(uint32(w.umin), uint32(w.umax))
	}
	if uint64(w.smax-w.smin) <= math.MaxUint32 {
		n.meet(uint32(w.smin), uint32(w.smax))
	}
	n.deduce()
	w.deduce()
	v.setNarrow(n)
	v.setWide(w)
	if by >= Before72 {
		v.fromHalfBefore72()
		return
	}
	v.fromHalf(n.umin, n.umax)
	v.fromHalf(uint32(n.smin), uint32(n.smax))
}

// fromHalfBefore72 moves the bounds of the whole to where the lower half's are, within
// the same upper half.
func (v *Value) fromHalfBefore72() {
	const upper = ^uint64(math.MaxUint32)
	lo, hi := uint64(v.U32Min), uint64(v.U32Max)
	v.UMin, v.UMax = max(v.UMin, v.UMin&upper|lo), min(v.UMax, v.UMax&upper|hi)
	v.SMin, v.SMax = max(v.SMin, int64(uint64(v.SMin)&upper|lo)), min(v.SMax, int64(uint64(v.SMax)&upper|hi))
	if v.S32Min >= 0 && v.SMin >= math.MinInt32 && v.SMax <= math.MaxInt32 {
		// The lower half is not negative, hence neither is the whole. What else was
		// known of it is given up here.
		v.SMin, v.SMax = int64(v.S32Min), int64(v.S32Max)
		v.UMin, v.UMax = uint64(v.S32Min), uint64(v.S32Max)
		v.Bits = v.Bits.Intersect(tnumRange(v.UMin, v.UMax))
	}
}

// fromHalf moves the bounds of the whole to the first and the last number whose
// lower half lies on an arc.
func (v *Value) fromHalf(from, to uint32) {
	umin, ok1 := atLeast(v.UMin, from, to)
	umax, ok2 := atMost(v.UMax, from, to)
	const sign = 1 << 63 // turns the order of signed numbers into that of unsigned ones
	smin, ok3 := atLeast(uint64(v.SMin)^sign, from, to)
	smax, ok4 := atMost(uint64(v.SMax)^sign, from, to)
	if !(ok1 && ok2 && ok3 && ok4) {
		v.UMin, v.UMax = math.MaxUint64, 0
		return
	}
	v.UMin, v.UMax, v.SMin, v.SMax = umin, umax, int64(smin^sign), int64(smax^sign)
}

// atLeast gives the first number from x on whose lower half lies on an arc.
func atLeast(x uint64, from, to uint32) (y uint64, ok bool) {
	if low := uint32(x); low-from > to-from {
		y = x + uint64(from-low)
		return y, y >= x
	}
	return x, true
}

// atMost gives the last number up to x whose lower half lies on an arc.
func atMost(x uint64, from, to uint32) (y uint64, ok bool) {
	if low := uint32(x); low-from > to-from {
		y = x - uint64(low-to)
		return y, y <= x
	}
	return x, true
}
