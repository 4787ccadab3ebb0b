package scalar

import "github.com/skep-ebpf/skep/isa"

// Outcome is what is known of a condition.
type Outcome int8

// The outcomes.
const (
	Never Outcome = iota - 1
	Maybe
	Always
)

// Compare tells whether the condition of a jump holds between v and w: one of
// isa.JmpX, of the lower halves where narrow.
func (v *Value) Compare(by Rules, op uint8, narrow bool, w *Value) Outcome {
	if by >= Before68 {
		return v.compareEarly(op, narrow, w)
	}
	switch op {
	case isa.JmpJNE:
		return -v.equal(narrow, w)
	case isa.JmpJEQ:
		return v.equal(narrow, w)
	case isa.JmpJSET:
		return v.shares(narrow, w)
	}
	if narrow {
		a, b := v.narrow(), w.narrow()
		return a.order(op, &b)
	}
	a, b := v.wide(), w.wide()
	return a.order(op, &b)
}

// order tells of a condition that is neither of equality nor of bits.
func (a *span[S, U]) order(op uint8, b *span[S, U]) Outcome {
	switch op {
	case isa.JmpJGT:
		return ordered(a.umin > b.umax, a.umax <= b.umin)
	case isa.JmpJGE:
		return ordered(a.umin >= b.umax, a.umax < b.umin)
	case isa.JmpJLT:
		return ordered(a.umax < b.umin, a.umin >= b.umax)
	case isa.JmpJLE:
		return ordered(a.umax <= b.umin, a.umin > b.umax)
	case isa.JmpJSGT:
		return ordered(a.smin > b.smax, a.smax <= b.smin)
	case isa.JmpJSGE:
		return ordered(a.smin >= b.smax, a.smax < b.smin)
	case isa.JmpJSLT:
		return ordered(a.smax < b.smin, a.smin >= b.smax)
	case isa.JmpJSLE:
		return ordered(a.smax <= b.smin, a.smin > b.smax)
	}
	return Maybe
}

func ordered(always, never bool) Outcome {
	switch {
	case always:
		return Always
	case never:
		return Never
	}
	return Maybe
}

func (v *Value) equal(narrow bool, w *Value) Outcome {
	a, b := v.Bits, w.Bits
	if narrow {
		a, b = a.Low(4), b.Low(4)
	}
	if a.IsConst() && b.IsConst() {
		return ordered(a == b, a != b)
	}
	an, bn := v.narrow(), w.narrow()
	aw, bw := v.wide(), w.wide()
	if !a.Overlaps(b) || an.apart(&bn) || !narrow && aw.apart(&bw) {
		return Never
	}
	return Maybe
}

// apart reports whether two spans have no word in common.
func (a *span[S, U]) apart(b *span[S, U]) bool {
	return a.umin > b.umax || a.umax < b.umin || a.smin > b.smax || a.smax < b.smin
}

// shares tells whether v&w is other than 0, where one of them is known.
func (v *Value) shares(narrow bool, w *Value) Outcome {
	a, b := v.Bits, w.Bits
	if narrow {
		a, b = a.Low(4), b.Low(4)
	}
	if !b.IsConst() {
		a, b = b, a
	}
	if !b.IsConst() {
		return Maybe
	}
	return ordered(a.Value&b.Value != 0, a.Max()&b.Value == 0)
}

// CompareSelf tells whether the condition of a jump holds between v and itself.
func (v *Value) CompareSelf(op uint8, narrow bool) Outcome {
	switch op {
	case isa.JmpJEQ, isa.JmpJGE, isa.JmpJLE, isa.JmpJSGE, isa.JmpJSLE:
		return Always
	case isa.JmpJNE, isa.JmpJGT, isa.JmpJLT, isa.JmpJSGT, isa.JmpJSLT:
		return Never
	case isa.JmpJSET:
		if v.constFor(narrow) {
			return v.shares(narrow, v)
		}
		if narrow {
			return ordered(v.S32Min > 0 || v.S32Max < 0, false)
		}
		return ordered(v.SMin > 0 || v.SMax < 0, false)
	}
	return Maybe
}

// Refine keeps in v and w what is possible where the condition of a jump between
// them holds, or does not. One of them may become empty: then it cannot.
func Refine(by Rules, op uint8, narrow, holds bool, v, w *Value) {
	if !holds {
		op = inverse[op>>4&15]
	}
	if by >= Before68 {
		refineEarly(by, op, narrow, v, w)
		return
	}
	switch op {
	case isa.JmpJGE, isa.JmpJGT, isa.JmpJSGE, isa.JmpJSGT:
		op = Flip(op)
		v, w = w, v
	case isa.JmpJNE, isa.JmpJSET, noneSet:
		// What is learnt comes from a known operand.
		if !w.constFor(narrow) {
			v, w = w, v
		}
		if !w.constFor(narrow) {
			return
		}
	}
	switch op {
	case isa.JmpJEQ:
		equate(narrow, v, w)
	case isa.JmpJSET, noneSet:
		v.refineBits(by, narrow, op == isa.JmpJSET, w.Bits.Value)
	default:
		if narrow {
			a, b := v.narrow(), w.narrow()
			refineOrder(op, &a, &b)
			v.setNarrow(a)
			w.setNarrow(b)
		} else {
			a, b := v.wide(), w.wide()
			refineOrder(op, &a, &b)
			v.setWide(a)
			w.setWide(b)
		}
	}
	v.Sync(by)
	w.Sync(by)
}

// RefineSelf is [Refine] where a number is compared with itself. Linux before 7.0 did
// not see that it knows the outcome.
func RefineSelf(by Rules, op uint8, narrow, holds bool, v *Value) {
	if !holds {
		op = inverse[op>>4&15]
	}
	if op == isa.JmpJNE || by >= Before68 {
		return
	}
	for _, op := range [...]uint8{op, Flip(op)} {
		if narrow {
			a := v.narrow()
			refineOrder(op, &a, &a)
			v.setNarrow(a)
		} else {
			a := v.wide()
			refineOrder(op, &a, &a)
			v.setWide(a)
		}
	}
	v.Sync(by)
}

func (v *Value) constFor(narrow bool) bool {
	if narrow {
		return uint32(v.Bits.Mask) == 0
	}
	return v.Bits.Mask == 0
}

// noneSet is the opposite of JSET, which no instruction has.
const noneSet = 0xff

// inverse gives the condition that holds where another does not.
var inverse = [16]uint8{
	isa.JmpJEQ >> 4: isa.JmpJNE, isa.JmpJNE >> 4: isa.JmpJEQ, isa.JmpJSET >> 4: noneSet,
	isa.JmpJGT >> 4: isa.JmpJLE, isa.JmpJLE >> 4: isa.JmpJGT,
	isa.JmpJGE >> 4: isa.JmpJLT, isa.JmpJLT >> 4: isa.JmpJGE,
	isa.JmpJSGT >> 4: isa.JmpJSLE, isa.JmpJSLE >> 4: isa.JmpJSGT,
	isa.JmpJSGE >> 4: isa.JmpJSLT, isa.JmpJSLT >> 4: isa.JmpJSGE,
}

// Flip gives the condition on exchanged operands.
func Flip(op uint8) uint8 { return flipped[op>>4&15] }

var flipped = [16]uint8{
	isa.JmpJEQ >> 4: isa.JmpJEQ, isa.JmpJNE >> 4: isa.JmpJNE, isa.JmpJSET >> 4: isa.JmpJSET,
	isa.JmpJGT >> 4: isa.JmpJLT, isa.JmpJLT >> 4: isa.JmpJGT,
	isa.JmpJGE >> 4: isa.JmpJLE, isa.JmpJLE >> 4: isa.JmpJGE,
	isa.JmpJSGT >> 4: isa.JmpJSLT, isa.JmpJSLT >> 4: isa.JmpJSGT,
	isa.JmpJSGE >> 4: isa.JmpJSLE, isa.JmpJSLE >> 4: isa.JmpJSGE,
}

// equate keeps what both have.
func equate(narrow bool, v, w *Value) {
	if narrow {
		a, b := v.narrow(), w.narrow()
		a.intersect(&b)
		v.setNarrow(a)
		w.setNarrow(a)
		low := v.Bits.Low(4).Intersect(w.Bits.Low(4))
		v.Bits, w.Bits = v.Bits.withLow32(low), w.Bits.withLow32(low)
		return
	}
	a, b := v.wide(), w.wide()
	a.intersect(&b)
	v.setWide(a)
	w.setWide(a)
	v.Bits = v.Bits.Intersect(w.Bits)
	w.Bits = v.Bits
}

func (a *span[S, U]) intersect(b *span[S, U]) {
	a.umin, a.umax = max(a.umin, b.umin), min(a.umax, b.umax)
	a.smin, a.smax = max(a.smin, b.smin), min(a.smax, b.smax)
}

// refineBits learns that v has some, or none, of the bits of mask.
func (v *Value) refineBits(by Rules, narrow, some bool, mask uint64) {
	if narrow {
		mask &= 1<<32 - 1
	}
	if some {
		if mask != 0 && mask&(mask-1) == 0 { // of several bits it might be any
			v.Bits = v.Bits.Or(Tnum{Value: mask})
		}
		return
	}
	v.Bits = v.Bits.And(Tnum{Value: ^mask})
	if by < Before515 {
		v.ForgetRanges() // as Linux does here
	}
}

// refineOrder learns from a condition that holds between a and b; b is known where
// the condition is JNE.
func refineOrder[S signedWord, U word](op uint8, a, b *span[S, U]) {
	switch op {
	case isa.JmpJNE:
		a.exclude(b.umin)
	case isa.JmpJLE:
		a.umax, b.umin = min(a.umax, b.umax), max(a.umin, b.umin)
	case isa.JmpJLT:
		a.umax, b.umin = min(a.umax, b.umax-1), max(a.umin+1, b.umin)
	case isa.JmpJSLE:
		a.smax, b.smin = min(a.smax, b.smax), max(a.smin, b.smin)
	case isa.JmpJSLT:
		a.smax, b.smin = min(a.smax, b.smax-1), max(a.smin+1, b.smin)
	}
}

// exclude takes a word away, which intervals can where it is a bound.
func (a *span[S, U]) exclude(x U) {
	if a.umin == x {
		a.umin++
	}
	if a.umax == x {
		a.umax--
	}
	if a.smin == S(x) {
		a.smin++
	}
	if a.smax == S(x) {
		a.smax--
	}
}
