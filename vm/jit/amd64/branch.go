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
	ccNS = 0x9
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
func (e *Emitter) branch(b *ir.Block, i *ir.Ins) {
	if int(i.Cond) >= len(conditions) {
		e.fail(i, "condition %d is not known", i.Cond)
		return
	}
	cc, to, other := e.compare(i), b.Succ[0], b.Succ[1]
	if to == e.next {
		cc, to, other = cc^1, other, to
	}
	e.point(pointCond, to, cc)
	e.jump(other)
}

// flags say what the processor's flags are from: what the last instruction put into a
// register.
type flags struct {
	at   int // the offset of the code behind it
	reg  ir.Reg
	size uint8
}

// decides reports whether what an instruction leaves in the flags can be all that a
// branch asks for, and whether Fuel, which changes scratch registers, can come before it.
func decides(i, b *ir.Ins) bool {
	const scratch = ir.Set(1<<ir.Scratch0 | 1<<ir.Scratch1)
	return i.Op >= ir.Add && i.Op <= ir.Xor && b.Op == ir.Branch && i.Dst == b.A && b.B == ir.None && b.Imm == 0 &&
		(i.Uses()|ir.Of(i.Dst))&scratch == 0
}

// compared gives the condition to ask for if the flags tell how a register compares
// with 0.
func (e *Emitter) compared(i *ir.Ins, x ir.Reg) (uint8, bool) {
	if e.flags.at != e.n || e.flags.reg != x {
		return 0, false
	}
	same := e.flags.size == i.Size
	switch i.Cond {
	case ir.Eq, ir.Ne: // the upper half is 0 behind an operation on 4 bytes
		return conditions[i.Cond], same || e.flags.size == 4
	case ir.Slt:
		return ccS, same
	case ir.Sge:
		return ccNS, same
	}
	return 0, false
}

// compare sets the flags and gives the condition to ask for.
func (e *Emitter) compare(i *ir.Ins) uint8 {
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
		if cc, ok := e.compared(i, x); ok {
			return cc
		}
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
func (e *Emitter) testImm(size uint8, x ir.Reg, imm int64, cc uint8) uint8 {
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
