package arm64

import "github.com/skep-ebpf/skep/vm/jit/ir"

// reg is a machine register. Number 31 is the zero register or the stack pointer,
// depending on the instruction.
type reg = ir.Reg

// Registers with a use of their own (see the package's documentation).
const (
	tmp0     reg = 12 // an immediate, or a step between
	tmp1     reg = 13 // a value that is stored
	tmp2     reg = 14 // an address
	tmp3     reg = 15
	scratch0 reg = 16
	scratch1 reg = 17
	budget   reg = 27
	fp       reg = 29
	lr       reg = 30
	zr       reg = 31
	sp       reg = 31
)

// form is an instruction with its operands left at zero. The forms of operations
// with two sizes are those for 4 bytes, unless the name says otherwise.
type form uint32

// wide turns a form into the one that works on 8 bytes.
const wide form = 1 << 31

// sized gives the form for an operation of 4 or 8 bytes.
func (f form) sized(bytes uint8) form {
	if bytes == 8 {
		return f | wide
	}
	return f
}

// Data processing.
const (
	addReg  form = 0x0b000000 // d = n + m<<shift
	subReg  form = 0x4b000000
	subsReg form = 0x6b000000
	andReg  form = 0x0a000000
	orrReg  form = 0x2a000000
	ornReg  form = 0x2a200000 // d = n | ^m
	eorReg  form = 0x4a000000
	andsReg form = 0x6a000000

	addExt form = 0x8b206000 // of 8 bytes: n may be SP, shifted by at most 4

	addImm  form = 0x11000000 // of 12 bits, optionally shifted by 12
	subImm  form = 0x51000000
	addsImm form = 0x31000000
	subsImm form = 0x71000000

	andImm  form = 0x12000000 // of a bitmask
	orrImm  form = 0x32000000
	eorImm  form = 0x52000000
	andsImm form = 0x72000000

	movn form = 0x12800000
	movz form = 0x52800000
	movk form = 0x72800000

	sbfm form = 0x13000000
	ubfm form = 0x53000000
	extr form = 0x13800000

	udiv form = 0x1ac00800
	sdiv form = 0x1ac00c00
	lslv form = 0x1ac02000
	lsrv form = 0x1ac02400
	asrv form = 0x1ac02800
	rorv form = 0x1ac02c00

	madd  form = 0x1b000000 // d = a + n*m
	msub  form = 0x1b008000 // d = a - n*m
	umulh form = 0x9bc07c00 // of 8 bytes

	rev16 form = 0x5ac00400
	rev32 form = 0x5ac00800 // all of 4 bytes
	rev64 form = 0xdac00c00 // all of 8 bytes
)

// Memory. The two highest bits are the logarithm of the width; see [form.width].
const (
	store     form = 0x39000000 // at n + a multiple of the width
	unscaled  form = 0x38000000 // at n + 9 bits, signed
	preIndex  form = 0x38000c00 // the same, and n is that address then
	postIndex form = 0x38000400 // at n, and n is moved by 9 bits then
	indexed   form = 0x38206800 // at n + m, m optionally shifted by the width

	isLoad     form = 1 << 22 // turns a store into a load
	isLoadSext form = 2 << 22 // sign-extended to 8 bytes
	shiftIndex form = 1 << 12

	storePair form = 0x29000000 // of 4 bytes each, at n + 7 bits times the width, signed
	loadPair  form = 0x29400000

	ldar  form = 0x08dffc00
	stlr  form = 0x089ffc00
	ldxr  form = 0x085f7c00
	stxr  form = 0x08007c00 // status in m
	stlxr form = 0x0800fc00

	ldadd form = 0x38200000
	ldclr form = 0x38201000
	ldeor form = 0x38202000
	ldset form = 0x38203000
	swp   form = 0x38208000
	cas   form = 0x08a07c00

	ordered    form = 3 << 22       // makes ldadd and its like acquire and release
	casOrdered form = 1<<22 | 1<<15 // cas has these bits elsewhere

	dmbISH form = 0xd5033bbf
)

// Jumps. The conditions are those of package ir, see conds.
const (
	b     form = 0x14000000
	bl    form = 0x94000000
	bcond form = 0x54000000
	cbz   form = 0x34000000
	cbnz  form = 0x35000000
	tbz   form = 0x36000000
	tbnz  form = 0x37000000
	br    form = 0xd61f0000
	blr   form = 0xd63f0000
	ret   form = 0xd65f03c0
	nop   form = 0xd503201f

	// adr adds a distance to its own address, which has to be a multiple of 4 as if
	// it were a jump's.
	adr form = 0x10000000
)

// The operands, each in its place.

func (f form) d(r reg) form { return f | form(r) }
func (f form) n(r reg) form { return f | form(r)<<5 }
func (f form) a(r reg) form { return f | form(r)<<10 }
func (f form) m(r reg) form { return f | form(r)<<16 }

// shift is that of m, to the left, by 0 to 63 bits.
func (f form) shift(bits uint8) form { return f | form(bits)<<10 }

// imm12 is an unsigned immediate, imm9 and imm7 are signed ones.
func (f form) imm12(v uint32) form { return f | form(v)<<10 }
func (f form) imm9(v int32) form   { return f | form(v)&0x1ff<<12 }
func (f form) imm7(v int32) form   { return f | form(v)&0x7f<<15 }

// imm16 is that of a move, at bit 16*index.
func (f form) imm16(v uint16, index int) form { return f | form(index)<<21 | form(v)<<5 }

// bits are immr and imms of a bitfield operation or of a bitmask. N is the size
// in bitfield operations.
func (f form) bits(r, s uint8) form {
	return f | f&wide>>9 | form(r)<<16 | form(s)<<10
}

// bit is the one that tbz and tbnz look at.
func (f form) bit(n int) form { return f | form(n>>5)<<31 | form(n&31)<<19 }

// width gives the form of a memory access for 1, 2, 4 or 8 bytes.
func (f form) width(bytes uint8) form { return f | form(log2(bytes))<<30 }

// log2 is the logarithm of 1, 2, 4 or 8.
func log2(n uint8) uint8 { return n>>1 - n>>3 }
