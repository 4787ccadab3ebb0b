package amd64

import (
	"encoding/binary"

	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// The registers, by their numbers in machine code.
const (
	rax ir.Reg = iota
	rcx
	rdx
	rbx
	rsp
	rbp
	rsi
	rdi
	r8
	r9
	r10
	r11
	r12
	r13
	r14
	r15
)

// opcode is an instruction's last opcode byte together with what else its form needs.
type opcode uint32

const (
	opByte opcode = 0xff // the opcode byte itself

	lock    opcode = 1 << (8 + iota) // prefix: the access is atomic
	half                             // prefix: operands have 2 bytes
	two                              // the opcode has two bytes, of which 0x0f is the first
	byteReg                          // the register in the reg field is one of a single byte
	byteRM                           // the register in the r/m field is one of a single byte
)

// Opcodes. Those of one operand have a digit in the reg field, which is written beside
// them.
const (
	opAddRM     = 0x01 // r/m += reg; the other operations of group 1 are 8 apart
	opImulRM    = two | 0xaf
	opImulImm   = 0x69
	opImulImm8  = 0x6b
	opGroup1    = 0x81 // an operation with an immediate
	opGroup18   = 0x83 // with an immediate of one byte
	opTest      = 0x85
	opTest8     = byteReg | byteRM | 0x84
	opXchg      = 0x87
	opStore     = 0x89
	opStore8    = byteReg | 0x88
	opLoad      = 0x8b
	opLea       = 0x8d
	opMovImm    = 0xb8 // plus the register
	opStoreImm  = 0xc7
	opStoreImm8 = 0xc6
	opShiftImm  = 0xc1
	opShift1    = 0xd1
	opShiftCL   = 0xd3
	opGroup3    = 0xf7
	opGroup38   = byteRM | 0xf6
	opGroup5    = 0xff
	opMovzx8    = two | byteRM | 0xb6
	opMovzx16   = two | 0xb7
	opMovsx8    = two | byteRM | 0xbe
	opMovsx16   = two | 0xbf
	opMovsxd    = 0x63
	opBt        = two | 0xba // with an immediate
	opCmpxchg   = two | 0xb1
	opPush      = 0x50 // plus the register
	opPop       = 0x58 // plus the register
	opRet       = 0xc3
	opXadd      = two | 0xc1
	opBswap     = two | 0xc8 // plus the register
)

// Digits of group 1, which are also those of atomic and plain forms; of shifts; of
// group 3 and 5; and of bt.
const (
	dAdd = 0
	dOr  = 1
	dAnd = 4
	dSub = 5
	dXor = 6
	dCmp = 7

	dRol = 0
	dRor = 1
	dShl = 4
	dShr = 5
	dSar = 7

	dTest = 0
	dNot  = 2
	dNeg  = 3
	dMul  = 4
	dDiv  = 6
	dIdiv = 7

	dInc  = 0
	dDec  = 1
	dCall = 2
	dJmp  = 4

	dBt  = 4
	dBts = 5
	dBtr = 6
	dBtc = 7
)

// address is an operand in memory: base + index<<scale + disp.
type address struct {
	base, index ir.Reg // index may be NoReg
	scale       uint8
	disp        int32
}

// at is the operand at base + disp.
func at(base ir.Reg, disp int32) address { return address{base: base, index: ir.NoReg, disp: disp} }

// asm writes machine code.
type asm struct {
	code []byte
	n    int // bytes of code that are written
}

// roomy is room for the code of any instruction of the intermediate form, and of the stubs.
const roomy = 512

// room makes room for more code.
func (a *asm) room(bytes int) {
	if len(a.code)-a.n < bytes {
		a.code = append(a.code, make([]byte, len(a.code)+bytes)...)
	}
}

// put writes the lower n bytes of v.
func (a *asm) put(v uint64, n int) {
	binary.LittleEndian.PutUint64(a.code[a.n:], v)
	a.n += n
}

// head writes prefixes and opcode. size is that of the operands: 8 asks for REX.W.
func (a *asm) head(o opcode, size uint8, reg, index, base ir.Reg, force bool) {
	v, n := head(o, size, reg, index, base, force)
	a.put(v, n/8)
}

// head gives prefixes and opcode, and of how many bits they are, 40 at most.
func head(o opcode, size uint8, reg, index, base ir.Reg, force bool) (v uint64, n int) {
	if o&(lock|half) != 0 {
		if o&lock != 0 {
			v, n = 0xf0, 8
		}
		if o&half != 0 {
			v, n = v|0x66<<n, n+8
		}
	}
	rex := uint64(ir.Reg(size&8) | reg>>3<<2 | index>>3<<1 | base>>3)
	if rex != 0 || force {
		v, n = v|(0x40|rex)<<n, n+8
	}
	if o&two != 0 {
		v, n = v|0x0f<<n, n+8
	}
	return v | uint64(o&opByte)<<n, n + 8
}

// rr writes an instruction on two registers, or on a digit and a register.
func (a *asm) rr(o opcode, size uint8, reg, rm ir.Reg) {
	// Without a REX prefix, the byte registers 4 to 7 are AH to BH.
	force := o&byteReg != 0 && reg >= rsp || o&byteRM != 0 && rm >= rsp
	v, n := head(o, size, reg, 0, rm, force)
	a.put(v|uint64(0xc0|reg&7<<3|rm&7)<<n, n/8+1)
}

// rm writes an instruction on a register, or a digit, and memory.
func (a *asm) rm(o opcode, size uint8, reg ir.Reg, m address) {
	index := m.index
	if index == ir.NoReg {
		index = rsp // says none
	}
	a.head(o, size, reg, index, m.base, o&byteReg != 0 && reg >= rsp)

	v, n := uint64(reg&7<<3), 8
	if index != rsp || m.base&7 == rsp {
		v, n = v|4|uint64(ir.Reg(m.scale<<6)|index&7<<3|m.base&7)<<8, 16
	} else {
		v |= uint64(m.base & 7)
	}
	switch {
	case m.disp == 0 && m.base&7 != rbp: // which without a displacement means something else
	case m.disp == int32(int8(m.disp)):
		v, n = v|0x40|uint64(uint8(m.disp))<<n, n+8
	default:
		v, n = v|0x80|uint64(uint32(m.disp))<<n, n+32
	}
	a.put(v, n/8)
}

func (a *asm) push(r ir.Reg) { a.head(opPush+opcode(r&7), 4, 0, 0, r, false) }
func (a *asm) pop(r ir.Reg)  { a.head(opPop+opcode(r&7), 4, 0, 0, r, false) }

// group1 writes an operation of group 1 with an immediate.
func (a *asm) group1(digit, size uint8, rm ir.Reg, imm int32) {
	if imm == int32(int8(imm)) {
		a.rr(opGroup18, size, ir.Reg(digit), rm)
		a.put(uint64(uint8(imm)), 1)
		return
	}
	if rm == rax { // has a form of its own, without a ModRM byte
		a.head(opcode(digit<<3|5), size, 0, 0, 0, false)
	} else {
		a.rr(opGroup1, size, ir.Reg(digit), rm)
	}
	a.put(uint64(uint32(imm)), 4)
}

// vexMap is the opcode map of an instruction with a VEX prefix.
type vexMap uint8

const (
	map38 vexMap = 2
	map3a vexMap = 3
)

// vexPrefix is the prefix that a VEX prefix stands for.
type vexPrefix uint8

const (
	vex66 vexPrefix = 1
	vexF3 vexPrefix = 2
	vexF2 vexPrefix = 3
)

// vex writes an instruction with a VEX prefix on three general registers.
func (a *asm) vex(m vexMap, p vexPrefix, op uint8, size uint8, reg, v, rm ir.Reg) {
	b1 := uint64(m) | uint64(^reg>>3&1)<<7 | 1<<6 | uint64(^rm>>3&1)<<5
	b2 := uint64(size>>3)<<7 | uint64(^v&15)<<3 | uint64(p)
	a.put(0xc4|b1<<8|b2<<16|uint64(op)<<24|uint64(0xc0|reg&7<<3|rm&7)<<32, 5)
}
