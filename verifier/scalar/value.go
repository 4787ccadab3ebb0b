// Package scalar is what the verifier knows of a number: the bits that are known,
// and intervals of the number read as signed and unsigned, of its 64 and of its
// lower 32 bits. Each part is kept consistent with the others (a reduced product).
//
// Everything here is pure: a Value describes a set of numbers, and the operations
// give a set that contains every result. They are as precise as Linux's, and on
// purpose no more, since a program's verdict depends on it.
package scalar

import "math"

// Value is a set of 64-bit numbers: those for which all parts hold. An interval
// whose minimum exceeds its maximum makes the set empty ([Value.IsEmpty]).
type Value struct {
	Bits           Tnum
	SMin, SMax     int64
	UMin, UMax     uint64
	S32Min, S32Max int32
	U32Min, U32Max uint32
}

// Const is the set of one number.
func Const(v uint64) Value {
	return Value{
		Bits: Tnum{Value: v}, SMin: int64(v), SMax: int64(v), UMin: v, UMax: v,
		S32Min: int32(v), S32Max: int32(v), U32Min: uint32(v), U32Max: uint32(v),
	}
}

// Unknown is the set of all numbers.
func Unknown() Value {
	return Value{
		Bits: Tnum{Mask: math.MaxUint64},
		SMin: math.MinInt64, SMax: math.MaxInt64, UMax: math.MaxUint64,
		S32Min: math.MinInt32, S32Max: math.MaxInt32, U32Max: math.MaxUint32,
	}
}

// Range is the set of the numbers from lo to hi, unsigned.
func Range(lo, hi uint64) Value {
	v := Unknown()
	v.UMin, v.UMax = lo, hi
	v.Sync(Newest)
	return v
}

// SignedRange is the set of the numbers from lo to hi, signed.
func SignedRange(lo, hi int64) Value {
	v := Unknown()
	v.SMin, v.SMax = lo, hi
	v.Sync(Newest)
	return v
}

// IsConst reports whether the set is of one number, which is Bits.Value.
func (v *Value) IsConst() bool { return v.Bits.Mask == 0 }

// Const32 gives the lower half, where all numbers have the same.
func (v *Value) Const32() (uint32, bool) {
	return uint32(v.Bits.Value), uint32(v.Bits.Mask) == 0
}

// IsUnknown reports whether the set is of all numbers.
func (v *Value) IsUnknown() bool { return *v == unknown }

var unknown = Unknown()

// IsEmpty reports whether the set has no number, as behind a condition that
// cannot hold. A set may be empty without showing it.
func (v *Value) IsEmpty() bool {
	return v.SMin > v.SMax || v.UMin > v.UMax || v.S32Min > v.S32Max || v.U32Min > v.U32Max
}

// Has reports whether x is one of the numbers.
func (v *Value) Has(x uint64) bool {
	return v.Bits.Has(x) &&
		v.UMin <= x && x <= v.UMax && v.SMin <= int64(x) && int64(x) <= v.SMax &&
		v.U32Min <= uint32(x) && uint32(x) <= v.U32Max && v.S32Min <= int32(x) && int32(x) <= v.S32Max
}

// Within reports whether each part lies within the other set's.
func (v *Value) Within(w *Value) bool {
	return w.UMin <= v.UMin && v.UMax <= w.UMax && w.SMin <= v.SMin && v.SMax <= w.SMax &&
		w.U32Min <= v.U32Min && v.U32Max <= w.U32Max && w.S32Min <= v.S32Min && v.S32Max <= w.S32Max &&
		w.Bits.Contains(v.Bits)
}

// LimitUnsigned keeps the numbers from lo to hi, unsigned.
func (v *Value) LimitUnsigned(lo, hi uint64) {
	v.UMin, v.UMax = max(v.UMin, lo), min(v.UMax, hi)
	v.Sync(Newest)
}

// LimitSigned keeps the numbers from lo to hi, signed.
func (v *Value) LimitSigned(lo, hi int64) {
	v.SMin, v.SMax = max(v.SMin, lo), min(v.SMax, hi)
	v.Sync(Newest)
}

// LimitSigned32 keeps the numbers whose lower half is from lo to hi, signed.
func (v *Value) LimitSigned32(lo, hi int32) {
	v.S32Min, v.S32Max = max(v.S32Min, lo), min(v.S32Max, hi)
	v.Sync(Newest)
}
