// Package scalar is what the verifier knows of a number: the bits that are known,
// and intervals of the number read as signed and unsigned, of its 64 and of its
// lower 32 bits. Each part is kept consistent with the others (a reduced product).
//
// Everything here is pure: a Value describes a set of numbers, and the operations
// give a set that contains every result.
package scalar

import "math"

// Value is a set of 64-bit numbers.
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

// IsConst reports whether the set is of one number, which is Bits.Value.
func (v *Value) IsConst() bool { return v.Bits.Mask == 0 }
