package amd64

import (
	"math"
	"math/bits"

	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// digits are those of the operations in group 1.
var digits = [...]uint8{ir.Add: dAdd, ir.Sub: dSub, ir.And: dAnd, ir.Or: dOr, ir.Xor: dXor}

// narrow is an immediate as an operation of size bytes sees it: sign-extended.
func narrow(size uint8, imm int64) int64 {
	if size == 4 {
		return int64(int32(imm))
	}
	return imm
}

func fits32(imm int64) bool { return imm == int64(int32(imm)) }

// mov copies a register. One of 4 bytes clears the upper half even in place.
func (a *asm) mov(size uint8, d, s ir.Reg) {
	if d != s || size == 4 {
		a.rr(opStore, size, s, d)
	}
}

// constant puts a number into a register.
func (a *asm) constant(d ir.Reg, v int64) {
	switch {
	case v == 0:
		a.rr(opcode(dXor<<3|1), 4, d, d)
	case v == int64(uint32(v)):
		a.head(opMovImm+opcode(d&7), 4, 0, 0, d, false)
		a.put(uint64(v), 4)
	case fits32(v):
		a.rr(opStoreImm, 8, 0, d)
		a.put(uint64(uint32(v)), 4)
	default:
		a.head(opMovImm+opcode(d&7), 8, 0, 0, d, false)
		a.put(uint64(v), 8)
	}
}

// lea puts an address into a register.
func (a *asm) lea(size uint8, d ir.Reg, m address) {
	switch {
	case m.index != ir.NoReg:
		if m.scale == 0 && m.disp == 0 && m.base&7 == rbp {
			m.base, m.index = m.index, m.base // saves the displacement
		}
		if m.scale == 0 && m.disp == 0 && (d == m.base || d == m.index) {
			a.rr(opAddRM, size, m.base^m.index^d, d)
			return
		}
	case m.disp == 0:
		a.mov(size, d, m.base)
		return
	case d == m.base:
		a.addImm(size, d, m.disp)
		return
	}
	a.rm(opLea, size, d, m)
}

// addImm adds a number to a register.
func (a *asm) addImm(size uint8, d ir.Reg, imm int32) {
	switch imm {
	case 1:
		a.rr(opGroup5, size, dInc, d)
	case -1:
		a.rr(opGroup5, size, dDec, d)
	case 128: // -128 fits into a byte
		a.group1(dSub, size, d, -128)
	default:
		a.group1(dAdd, size, d, imm)
	}
}

// result notes that the flags are from what an operation of size bytes put into d.
func (e *Emitter) result(size uint8, d ir.Reg) { e.flags = flags{e.n, d, size} }

// binary is an operation of two operands that amd64 has as it is.
func (e *Emitter) binary(i *ir.Ins) {
	d, x := e.reg(i, i.Dst), e.reg(i, i.A)
	if i.B == ir.None {
		e.binaryImm(i, d, x, narrow(i.Size, i.Imm))
		return
	}
	y := e.reg(i, i.B)
	switch {
	case d == x:
	case i.Op == ir.Add:
		e.lea(i.Size, d, address{base: x, index: y})
		return
	case d != y:
		e.mov(i.Size, d, x)
	case i.Op == ir.Sub: // d = x - d
		e.rr(opGroup3, i.Size, dNeg, d)
		e.rr(opAddRM, i.Size, x, d)
		return
	default:
		y = x
	}
	if i.Op == ir.Mul {
		e.rr(opImulRM, i.Size, d, y)
		return
	}
	e.rr(opcode(digits[i.Op]<<3|1), i.Size, y, d)
	e.result(i.Size, d)
}

// binaryImm is the same with a number as the second operand.
func (e *Emitter) binaryImm(i *ir.Ins, d, x ir.Reg, imm int64) {
	size := i.Size
	switch i.Op {
	case ir.Add, ir.Sub:
		if i.Op == ir.Sub {
			imm = narrow(size, -imm)
		}
		if fits32(imm) {
			e.lea(size, d, at(x, int32(imm)))
			if d == x && imm != 0 {
				e.result(size, d)
			}
			return
		}
		e.constant(r11, imm)
		e.lea(size, d, address{base: x, index: r11})
		return
	case ir.Mul:
		e.mulImm(size, d, x, imm)
		return
	case ir.And:
		if size == 4 {
			imm = int64(uint32(imm))
		}
		if w := bits.Len64(uint64(imm)); imm == 1<<w-1 && w != 0 && w&(w-1) == 0 && w >= 8 {
			e.zext(uint8(w/8), d, x)
			return
		}
		if uint64(imm) <= math.MaxUint32 { // clears the upper half anyway
			size, imm = 4, int64(int32(imm))
		}
	case ir.Or, ir.Xor:
		if bit := uint64(imm); !fits32(imm) && bit&(bit-1) == 0 {
			e.mov(size, d, x)
			digit := ir.Reg(dBts)
			if i.Op == ir.Xor {
				digit = dBtc
			}
			e.rr(opBt, size, digit, d)
			e.put(uint64(bits.TrailingZeros64(bit)), 1)
			return
		}
	}
	if !fits32(imm) {
		if d == x {
			e.constant(r11, imm)
			e.rr(opcode(digits[i.Op]<<3|1), size, r11, d)
		} else {
			e.constant(d, imm)
			e.rr(opcode(digits[i.Op]<<3|1), size, x, d)
		}
		e.result(size, d)
		return
	}
	if d != x {
		e.mov(size, d, x)
	}
	if i.Op == ir.Xor && imm == -1 {
		e.rr(opGroup3, size, dNot, d)
		return
	}
	e.group1(digits[i.Op], size, d, int32(imm))
	e.result(size, d)
}

// mulImm multiplies with a number.
func (e *Emitter) mulImm(size uint8, d, x ir.Reg, imm int64) {
	switch {
	case imm == int64(int8(imm)):
		e.rr(opImulImm8, size, d, x)
		e.put(uint64(uint8(imm)), 1)
	case fits32(imm):
		e.rr(opImulImm, size, d, x)
		e.put(uint64(uint32(imm)), 4)
	case d == x:
		e.constant(r11, imm)
		e.rr(opImulRM, size, d, r11)
	default:
		e.constant(d, imm)
		e.rr(opImulRM, size, d, x)
	}
}

// zext copies the lower width bytes of a register and clears the others.
func (a *asm) zext(width uint8, d, s ir.Reg) {
	switch width {
	case 1:
		a.rr(opMovzx8, 4, d, s)
	case 2:
		a.rr(opMovzx16, 4, d, s)
	default:
		a.mov(width, d, s)
	}
}

// sext sign-extends a register's lower bytes.
func (e *Emitter) sext(i *ir.Ins) {
	d, s := e.reg(i, i.Dst), e.reg(i, i.A)
	switch {
	case i.Width == 1:
		e.rr(opMovsx8, i.Size, d, s)
	case i.Width == 2:
		e.rr(opMovsx16, i.Size, d, s)
	case i.Width == 4 && i.Size == 8:
		e.rr(opMovsxd, 8, d, s)
	default:
		e.mov(i.Size, d, s)
	}
}

// bswap reverses a register's lower bytes and clears the others.
func (e *Emitter) bswap(i *ir.Ins) {
	d := e.reg(i, i.Dst)
	size := max(i.Width, 4)
	if s := e.reg(i, i.A); d != s {
		e.mov(size, d, s)
	}
	e.head(opBswap+opcode(d&7), size, 0, 0, d, false)
	if i.Width == 2 {
		e.shiftImm(4, dShr, d, 16)
	}
}
