package scalar

import (
	"math"

	"github.com/skep-ebpf/skep/isa"
)

// Linux before 6.8 keeps the whole and its lower half apart: what is learnt of one is
// told to the other after comparisons only, and only with a known operand. The other
// half's intervals are then given up.

// syncEarly is [Value.Sync] by these rules.
func (v *Value) syncEarly(by Rules) {
	v.fromBits(by)
	n, w := v.narrow(), v.wide()
	n.shareSign()
	w.shareSign()
	v.setNarrow(n)
	v.setWide(w)
	v.toBits(by)
	if by >= Before57 {
		v.spreadWhole()
	}
	v.fromBits(by)
}

// shareSign lets each interval learn from the other where the sign is known.
func (s *span[S, U]) shareSign() {
	switch {
	case s.smin >= 0 || s.smax < 0:
		s.umin, s.umax = max(U(s.smin), s.umin), min(U(s.smax), s.umax)
		s.smin, s.smax = S(s.umin), S(s.umax)
	case S(s.umax) >= 0: // whatever smin is
		s.umax = min(U(s.smax), s.umax)
		s.smin, s.smax = S(s.umin), S(s.umax)
	case S(s.umin) < 0: // whatever smax is
		s.umin = max(U(s.smin), s.umin)
		s.smin, s.smax = S(s.umin), S(s.umax)
	}
}

// compareEarly is [Value.Compare] by these rules.
func (v *Value) compareEarly(op uint8, narrow bool, w *Value) Outcome {
	if !w.constFor(narrow) {
		return Maybe
	}
	k := w.known(narrow)
	bits := v.Bits
	if narrow {
		bits = bits.Low(4)
	}
	switch op {
	case isa.JmpJNE, isa.JmpJEQ:
		if !bits.IsConst() {
			return Maybe
		}
		is := ordered(bits == k.Bits, bits != k.Bits)
		if op == isa.JmpJNE {
			is = -is
		}
		return is
	case isa.JmpJSET:
		return v.shares(narrow, &k)
	}
	if narrow {
		a, b := v.narrow(), k.narrow()
		return a.order(op, &b)
	}
	a, b := v.wide(), k.wide()
	return a.order(op, &b)
}

// known is the number that all have, or that all have as the lower half.
func (v *Value) known(narrow bool) Value {
	if narrow {
		return Const(v.Bits.Value & math.MaxUint32)
	}
	return Const(v.Bits.Value)
}

// refineEarly is [Refine] by these rules, for a condition that holds.
func refineEarly(by Rules, op uint8, narrow bool, v, w *Value) {
	if !w.constFor(narrow) {
		v, w = w, v
		if op != noneSet {
			op = Flip(op)
		}
	}
	if !w.constFor(narrow) {
		if op == isa.JmpJEQ && !narrow {
			equate(false, v, w)
			v.Sync(by)
			w.Sync(by)
		}
		return
	}
	k := w.known(narrow)
	switch {
	case op == isa.JmpJEQ && narrow:
		v.SetLow(uint32(k.UMin))
	case op == isa.JmpJEQ:
		*v = k
	case op == isa.JmpJSET || op == noneSet:
		v.refineBits(by, narrow, op == isa.JmpJSET, k.Bits.Value)
	case op == isa.JmpJNE:
	case narrow && by >= Before57 && isSigned(op) && !(v.SMin >= 0 && v.SMax <= math.MaxInt32):
	case narrow:
		a, b := v.narrow(), k.narrow()
		refineTo(op, &a, &b)
		v.setNarrow(a)
	default:
		a, b := v.wide(), k.wide()
		refineTo(op, &a, &b)
		v.setWide(a)
	}
	if narrow {
		v.spreadHalf()
	} else {
		v.spreadWhole()
	}
	v.Sync(by)
}

// isSigned reports whether a condition is of the order of signed numbers.
func isSigned(op uint8) bool {
	return op == isa.JmpJSGT || op == isa.JmpJSGE || op == isa.JmpJSLT || op == isa.JmpJSLE
}

// refineTo learns of a from a condition that holds between it and a known word.
func refineTo[S signedWord, U word](op uint8, a, k *span[S, U]) {
	switch op {
	case isa.JmpJGE, isa.JmpJGT, isa.JmpJSGE, isa.JmpJSGT:
		refineOrder(Flip(op), k, a)
	default:
		refineOrder(op, a, k)
	}
}

// spreadHalf takes the whole's intervals from the lower half, of which something was
// learnt. They are given up where the upper half is not 0.
func (v *Value) spreadHalf() {
	v.setWide(all[int64, uint64]())
	if v.Bits.Max() <= math.MaxUint32 {
		v.fromZeroExtended()
	}
}

// fromZeroExtended gives the whole the bounds of its lower half, the upper being 0.
func (v *Value) fromZeroExtended() {
	v.UMin, v.UMax = uint64(v.U32Min), uint64(v.U32Max)
	v.SMin, v.SMax = 0, math.MaxUint32
	if v.S32Min >= 0 && v.S32Max >= 0 {
		v.SMin, v.SMax = int64(v.S32Min), int64(v.S32Max)
	}
}

// spreadWhole takes the lower half's intervals from the whole, of which something was
// learnt. They are given up where the whole exceeds 32 bits.
func (v *Value) spreadWhole() {
	n := all[int32, uint32]()
	if v.SMin >= math.MinInt32 && v.SMin <= math.MaxInt32 && v.SMax >= math.MinInt32 && v.SMax <= math.MaxInt32 {
		n.smin, n.smax = int32(v.SMin), int32(v.SMax)
	}
	if v.UMin <= math.MaxUint32 && v.UMax <= math.MaxUint32 {
		n.umin, n.umax = uint32(v.UMin), uint32(v.UMax)
	}
	v.setNarrow(n)
}

// mulEarly gives up where an operand may be negative or have more than half of the
// word's bits, as Linux before 6.14 did.
func (a *span[S, U]) mulEarly(b *span[S, U]) span[S, U] {
	half := ^U(0)
	for half > ^U(0)/half {
		half >>= 1
	}
	if a.smin < 0 || b.smin < 0 || a.umax > half || b.umax > half {
		return all[S, U]()
	}
	return arc[S](a.umin*b.umin, a.umax*b.umax)
}

// addEarly and subEarly give up where a bound wraps around, as Linux before 6.17 did.
func (a *span[S, U]) addEarly(b *span[S, U]) span[S, U] {
	r := all[S, U]()
	if umax := a.umax + b.umax; umax >= a.umax && a.umin+b.umin >= a.umin {
		r.umin, r.umax = a.umin+b.umin, umax
	}
	smin, smax := a.smin+b.smin, a.smax+b.smax
	if wrapsAdd(a.smin, b.smin, smin) == 0 && wrapsAdd(a.smax, b.smax, smax) == 0 {
		r.smin, r.smax = smin, smax
	}
	return r
}

func (a *span[S, U]) subEarly(b *span[S, U]) span[S, U] {
	r := all[S, U]()
	if a.umin >= b.umax {
		r.umin, r.umax = a.umin-b.umax, a.umax-b.umin
	}
	smin, smax := a.smin-b.smax, a.smax-b.smin
	if wrapsSub(a.smin, b.smax, smin) == 0 && wrapsSub(a.smax, b.smin, smax) == 0 {
		r.smin, r.smax = smin, smax
	}
	return r
}

// mulEarly is Mul as Linux before 6.18 did it: what the known and the unknown bits
// contribute is added up apart from each other.
func (a Tnum) mulEarly(b Tnum) Tnum {
	value := a.Value * b.Value
	var unknown Tnum
	for ; a.Value|a.Mask != 0; a, b = a.Rsh(1), b.Lsh(1) {
		switch {
		case a.Value&1 != 0:
			unknown = unknown.Add(Tnum{Mask: b.Mask})
		case a.Mask&1 != 0:
			unknown = unknown.Add(Tnum{Mask: b.Max()})
		}
	}
	return Tnum{Value: value}.Add(unknown)
}

// mulEarliest is Mul as Linux before 5.15 did it: for each unknown bit of one operand, any
// number of the other's bits is added or not.
func (a Tnum) mulEarliest(b Tnum) Tnum {
	return Tnum{Value: a.Value * b.Value}.addShifted(a.Mask, b.Max()).addShifted(b.Mask, a.Value)
}

// addShifted adds unknown bits, shifted by each of the bits of a mask.
func (a Tnum) addShifted(mask, unknown uint64) Tnum {
	for ; mask != 0; mask, unknown = mask>>1, unknown<<1 {
		if mask&1 != 0 {
			a = a.Add(Tnum{Mask: unknown})
		}
	}
	return a
}
