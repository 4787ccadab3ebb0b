package amd64

import (
	"math"
	"math/bits"

	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// Conditions in machine code. The opposite one has the lowest bit flipped.
const (
	ccB  = 0x2 // below, also: carry
	ccAE = 0x3
	ccE  = 0x4
	ccNE = 0x5
	ccBE = 0x6
	ccA  = 0x7
	ccS  = 0x8 // sign
	ccL  = 0xc
	ccGE = 0xd
	ccLE = 0xe
	ccG  = 0xf
)

var conditions = [...]uint8{
	ir.Eq: ccE, ir.Ne: ccNE,
	ir.Ult: ccB, ir.Uge: ccAE, ir.Ule: ccBE, ir.Ugt: ccA,
	ir.Slt: ccL, ir.Sge: ccGE, ir.Sle: ccLE, ir.Sgt: ccG,
	ir.TestSet: ccNE, ir.TestClear: ccE,
}

// branch compares and jumps. One of the two ways mostly goes on with the next block.
func (e *emitter) branch(b *ir.Block, i *ir.Ins) {
	if int(i.Cond) >= len(conditions) {
		e.fail(i, "condition %d is not known", i.Cond)
		return
	}
	cc := e.compare(i)
	if b.Succ[0] == e.next {
		e.point(pointCond, b.Succ[1], cc^1)
		return
	}
	e.point(pointCond, b.Succ[0], cc)
	e.jump(b.Succ[1])
}

// compare sets the flags and gives the condition to ask for.
func (e *emitter) compare(i *ir.Ins) uint8 {
	cc := conditions[i.Cond]
	x := e.reg(i, i.A)
	test := i.Cond >= ir.TestSet
	if i.B != ir.None {
		y := e.reg(i, i.B)
		if test {
			e.rr(opTest, i.Size, y, x)
		} else {
			e.rr(dCmp<<3|1, i.Size, y, x)
		}
		return cc
	}
	imm := narrow(i.Size, i.Imm)
	switch {
	case test:
		return e.testImm(i.Size, x, imm, cc)
	case imm == 0:
		e.rr(opTest, i.Size, x, x)
	case fits32(imm):
		e.group1(dCmp, i.Size, x, int32(imm))
	default:
		e.constant(r11, imm)
		e.rr(dCmp<<3|1, i.Size, r11, x)
	}
	return cc
}

// testImm sets the flags for whether a register has any bits of a number, and gives
// the condition to ask for.
func (e *emitter) testImm(size uint8, x ir.Reg, imm int64, cc uint8) uint8 {
	if size == 4 {
		imm = int64(uint32(imm))
	}
	switch bit := uint64(imm); {
	case bit <= math.MaxUint8:
		if x == rax {
			e.put(0xa8|bit<<8, 2)
			return cc
		}
		e.rr(opGroup38, 4, dTest, x)
		e.put(bit, 1)
	case bit <= math.MaxUint32:
		e.testImm32(4, x, uint32(bit))
	case bit&(bit-1) == 0:
		e.rr(opBt, 8, dBt, x)
		e.put(uint64(bits.TrailingZeros64(bit)), 1)
		return ccB | cc&1 ^ 1 // the bit is in the carry
	case fits32(imm):
		e.testImm32(8, x, uint32(imm))
	default:
		e.constant(r11, imm)
		e.rr(opTest, 8, r11, x)
	}
	return cc
}

func (a *asm) testImm32(size uint8, x ir.Reg, imm uint32) {
	if x == rax {
		a.head(0xa9, size, 0, 0, 0, false)
	} else {
		a.rr(opGroup3, size, dTest, x)
	}
	a.put(uint64(imm), 4)
}
