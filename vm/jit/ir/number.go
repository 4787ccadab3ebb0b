package ir

import "math/bits"

// calculate is what an operation of two operands gives.
func calculate(op Op, size uint8, a, b uint64) uint64 {
	if size == 4 {
		return uint64(calculate32(op, uint32(a), uint32(b)))
	}
	switch op {
	case Add:
		return a + b
	case Sub:
		return a - b
	case Mul:
		return a * b
	case And:
		return a & b
	case Or:
		return a | b
	case Xor:
		return a ^ b
	case Shl:
		return a << (b & 63)
	case Shr:
		return a >> (b & 63)
	case Sar:
		return uint64(int64(a) >> (b & 63))
	case Rol:
		return bits.RotateLeft64(a, int(b&63))
	case MulHi:
		hi, _ := bits.Mul64(a, b)
		return hi
	}
	if b == 0 {
		return byZero(op, a)
	}
	switch op {
	case Div:
		return a / b
	case Mod:
		return a % b
	case Sdiv:
		return uint64(int64(a) / int64(b))
	}
	return uint64(int64(a) % int64(b)) // Smod
}

func calculate32(op Op, a, b uint32) uint32 {
	switch op {
	case Shl:
		return a << (b & 31)
	case Shr:
		return a >> (b & 31)
	case Sar:
		return uint32(int32(a) >> (b & 31))
	case Rol:
		return bits.RotateLeft32(a, int(b&31))
	case Sdiv, Smod:
		if b != 0 {
			return uint32(calculate(op, 8, uint64(int64(int32(a))), uint64(int64(int32(b)))))
		}
	case MulHi:
		return uint32(uint64(a) * uint64(b) >> 32)
	}
	return uint32(calculate(op, 8, uint64(a), uint64(b)))
}

// byZero is the quotient or the remainder by 0.
func byZero(op Op, a uint64) uint64 {
	if op == Div || op == Sdiv {
		return 0
	}
	return a
}

// converted is what Zext, Sext and Bswap give.
func converted(op Op, size, width uint8, a uint64) uint64 {
	unused := 64 - 8*width
	switch {
	case op == Bswap:
		return bits.ReverseBytes64(a) >> unused
	case op == Zext:
		return a << unused >> unused
	case size == 4:
		return uint64(uint32(int64(a<<unused) >> unused))
	}
	return uint64(int64(a<<unused) >> unused)
}

// ones has the bits of a number of width bytes.
func ones(width uint8) uint64 { return ^uint64(0) >> (64 - 8*width) }

// compares reports whether a branch of a size is taken for two numbers.
func compares(c Cond, size uint8, a, b uint64) bool {
	if size == 4 {
		// Sign-extension keeps both orders.
		a, b = uint64(int64(int32(a))), uint64(int64(int32(b)))
	}
	switch c &^ 1 {
	case Eq:
		return (a == b) == (c == Eq)
	case Ult:
		return (a < b) == (c == Ult)
	case Ule:
		return (a <= b) == (c == Ule)
	case Slt:
		return (int64(a) < int64(b)) == (c == Slt)
	case Sle:
		return (int64(a) <= int64(b)) == (c == Sle)
	}
	return (a&b != 0) == (c == TestSet)
}

// mirror is the condition for operands that were exchanged.
func (c Cond) mirror() Cond {
	switch c {
	case Ult:
		return Ugt
	case Ugt:
		return Ult
	case Ule:
		return Uge
	case Uge:
		return Ule
	case Slt:
		return Sgt
	case Sgt:
		return Slt
	case Sle:
		return Sge
	case Sge:
		return Sle
	}
	return c
}

// possible are the bits that the result of an operation may have, if its operands
// have none but those of a and b. A number known to be b alone is given as exact.
func possible(op Op, size uint8, a, b uint64, exact bool) uint64 {
	if size == 4 {
		a, b = uint64(uint32(a)), uint64(uint32(b))
	}
	may := ^uint64(0)
	switch op {
	case Add:
		if sum, carry := bits.Add64(a, b, 0); carry == 0 {
			may = smear(sum)
		}
	case Mul:
		if hi, lo := bits.Mul64(a, b); hi == 0 {
			may = smear(lo)
		}
	case And:
		may = a & b
	case Or, Xor:
		may = a | b
	case Shl:
		if exact {
			may = a << (b & (8*uint64(size) - 1))
		}
	case Shr:
		may = smear(a)
		if exact {
			may = a >> (b & (8*uint64(size) - 1))
		}
	case Div, Mod: // by 0 too
		may = smear(a)
		if exact && op == Mod && b != 0 {
			may = smear(min(a, b-1))
		}
	case Rol, Sub, Sar, Sdiv, Smod:
	case MulHi:
		hi, _ := bits.Mul64(a, b)
		may = smear(hi)
	}
	if size == 4 {
		may = uint64(uint32(may))
	}
	return may
}
