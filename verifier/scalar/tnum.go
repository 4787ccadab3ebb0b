package scalar

import (
	"fmt"
	"math"
	"math/bits"
)

// Tnum says of each bit of a number whether it is 0, 1 or unknown: a bit that is
// set in Mask is unknown, and then clear in Value.
type Tnum struct{ Value, Mask uint64 }

// tnumRange is the smallest Tnum with all numbers from min to max.
func tnumRange(min, max uint64) Tnum {
	free := uint64(1)<<bits.Len64(min^max) - 1 // 1<<64 is 0 in Go
	return Tnum{min &^ free, free}
}

// IsConst reports whether all bits are known.
func (a Tnum) IsConst() bool { return a.Mask == 0 }

// Has reports whether x is one of the numbers.
func (a Tnum) Has(x uint64) bool { return x&^a.Mask == a.Value }

// Contains reports whether all numbers of b are numbers of a.
func (a Tnum) Contains(b Tnum) bool { return b.Mask&^a.Mask == 0 && b.Value&^a.Mask == a.Value }

// Overlaps reports whether no bit is known to be 0 in one and 1 in the other.
func (a Tnum) Overlaps(b Tnum) bool { return (a.Value^b.Value)&^(a.Mask|b.Mask) == 0 }

// Max is the greatest number, unsigned. The smallest is Value.
func (a Tnum) Max() uint64 { return a.Value | a.Mask }

// IsAligned reports whether all numbers are multiples of size, a power of two.
func (a Tnum) IsAligned(size uint64) bool { return (a.Value|a.Mask)&(size-1) == 0 }

// Intersect keeps what both say. Where they contradict each other it says 1.
func (a Tnum) Intersect(b Tnum) Tnum {
	mask := a.Mask & b.Mask
	return Tnum{(a.Value | b.Value) &^ mask, mask}
}

// Union is the smallest Tnum with the numbers of both.
func (a Tnum) Union(b Tnum) Tnum {
	mask := a.Mask | b.Mask | (a.Value ^ b.Value)
	return Tnum{a.Value &^ mask, mask}
}

// Low keeps the lowest size bytes and clears the others.
func (a Tnum) Low(size int) Tnum {
	keep := uint64(math.MaxUint64) >> (64 - 8*size)
	return Tnum{a.Value & keep, a.Mask & keep}
}

// withLow32 replaces the lower half.
func (a Tnum) withLow32(low Tnum) Tnum {
	const half = math.MaxUint32
	return Tnum{a.Value&^half | low.Value&half, a.Mask&^half | low.Mask&half}
}

// Add gives what a+b can be.
func (a Tnum) Add(b Tnum) Tnum {
	// Where the greatest and the smallest sum differ, carries differ.
	smallest := a.Value + b.Value
	carries := (smallest + a.Mask + b.Mask) ^ smallest
	mask := carries | a.Mask | b.Mask
	return Tnum{smallest &^ mask, mask}
}

// Sub gives what a-b can be.
func (a Tnum) Sub(b Tnum) Tnum {
	d := a.Value - b.Value
	borrows := (d + a.Mask) ^ (d - b.Mask)
	mask := borrows | a.Mask | b.Mask
	return Tnum{d &^ mask, mask}
}

// And gives what a&b can be.
func (a Tnum) And(b Tnum) Tnum {
	v := a.Value & b.Value
	return Tnum{v, (a.Value | a.Mask) & (b.Value | b.Mask) &^ v}
}

// Or gives what a|b can be.
func (a Tnum) Or(b Tnum) Tnum {
	v := a.Value | b.Value
	return Tnum{v, (a.Mask | b.Mask) &^ v}
}

// Xor gives what a^b can be.
func (a Tnum) Xor(b Tnum) Tnum {
	mask := a.Mask | b.Mask
	return Tnum{(a.Value ^ b.Value) &^ mask, mask}
}

// Mul gives what a*b can be: long multiplication, in which an unknown bit of a
// adds b or does not.
func (a Tnum) Mul(b Tnum) Tnum {
	var acc Tnum
	for rest := a.Value | a.Mask; rest != 0; rest &= rest - 1 {
		bit := uint(bits.TrailingZeros64(rest))
		sum := acc.Add(b.Lsh(bit))
		if a.Value>>bit&1 != 0 {
			acc = sum
		} else {
			acc = acc.Union(sum)
		}
	}
	return acc
}

// Lsh shifts left.
func (a Tnum) Lsh(n uint) Tnum { return Tnum{a.Value << n, a.Mask << n} }

// Rsh shifts right.
func (a Tnum) Rsh(n uint) Tnum { return Tnum{a.Value >> n, a.Mask >> n} }

// arsh shifts right, repeating the sign.
func (a Tnum) arsh(n uint) Tnum { return Tnum{uint64(int64(a.Value) >> n), uint64(int64(a.Mask) >> n)} }

// arsh32 is arsh of a 32-bit number.
func (a Tnum) arsh32(n uint) Tnum {
	return Tnum{uint64(uint32(int32(a.Value) >> n)), uint64(uint32(int32(a.Mask) >> n))}
}

// swap reverses the lowest size bytes and clears the others.
func (a Tnum) swap(size int) Tnum {
	n := 64 - 8*size
	return Tnum{bits.ReverseBytes64(a.Value) >> n, bits.ReverseBytes64(a.Mask) >> n}
}

// above gives the smallest of the numbers that is greater than x, or the greatest
// number where none is.
func (a Tnum) above(x uint64) uint64 {
	if x >= a.Max() {
		return a.Max()
	}
	if x < a.Value {
		return a.Value
	}
	// The unknown bits of the number wanted are the smallest that exceed d: count
	// d up inside the mask. Bits outside the mask pass the carry on; those below
	// d's highest bit outside the mask start over.
	d := x - a.Value
	reset := uint64(1)<<bits.Len64(d&^a.Mask) - 1
	return a.Value | ((d|reset|^a.Mask)+1)&a.Mask
}

// String is the kernel's notation: (value; mask), or a number if all bits are known.
func (a Tnum) String() string {
	switch {
	case a.Mask != 0:
		return fmt.Sprintf("(%#x; %#x)", a.Value, a.Mask)
	case a.Value <= math.MaxUint16:
		return fmt.Sprint(a.Value)
	case int64(a.Value) >= math.MinInt16 && int64(a.Value) < 0:
		return fmt.Sprint(int64(a.Value))
	}
	return fmt.Sprintf("%#x", a.Value)
}
