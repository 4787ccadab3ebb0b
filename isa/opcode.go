package isa

// The low three bits of an opcode.
const (
	ClassLD    = 0x00
	ClassLDX   = 0x01
	ClassST    = 0x02
	ClassSTX   = 0x03
	ClassALU   = 0x04 // 32-bit
	ClassJMP   = 0x05
	ClassJMP32 = 0x06
	ClassALU64 = 0x07
)

// Bit 3 of ALU and JMP opcodes: where the second operand comes from.
const (
	SrcK = 0x00 // Imm
	SrcX = 0x08 // register Src
)

// The upper four bits of ALU opcodes.
const (
	AluADD  = 0x00
	AluSUB  = 0x10
	AluMUL  = 0x20
	AluDIV  = 0x30 // Off 1: signed
	AluOR   = 0x40
	AluAND  = 0x50
	AluLSH  = 0x60
	AluRSH  = 0x70
	AluNEG  = 0x80
	AluMOD  = 0x90 // Off 1: signed
	AluXOR  = 0xa0
	AluMOV  = 0xb0 // Off 8, 16, 32: sign extension; Off 1: address-space cast
	AluARSH = 0xc0
	AluEND  = 0xd0
)

// The upper four bits of JMP opcodes.
const (
	JmpJA    = 0x00
	JmpJEQ   = 0x10
	JmpJGT   = 0x20
	JmpJGE   = 0x30
	JmpJSET  = 0x40
	JmpJNE   = 0x50
	JmpJSGT  = 0x60
	JmpJSGE  = 0x70
	JmpCALL  = 0x80
	JmpEXIT  = 0x90
	JmpJLT   = 0xa0
	JmpJLE   = 0xb0
	JmpJSLT  = 0xc0
	JmpJSLE  = 0xd0
	JmpJCOND = 0xe0 // Imm 0: may_goto (Linux 6.9)
)

// Bits 3 and 4 of load and store opcodes.
const (
	SizeW  = 0x00
	SizeH  = 0x08
	SizeB  = 0x10
	SizeDW = 0x18
)

// The upper three bits of load and store opcodes.
const (
	ModeIMM    = 0x00
	ModeABS    = 0x20
	ModeIND    = 0x40
	ModeMEM    = 0x60
	ModeMEMSX  = 0x80
	ModeATOMIC = 0xc0
)

// Imm of an atomic instruction.
const (
	AtomicADD     = 0x00
	AtomicOR      = 0x40
	AtomicAND     = 0x50
	AtomicXOR     = 0xa0
	AtomicFetch   = 0x01 // flag of the four above
	AtomicXCHG    = 0xe1
	AtomicCMPXCHG = 0xf1
	AtomicLoadAcq = 0x100 // Linux 6.15
	AtomicStoreRl = 0x110 // Linux 6.15
)

// OpLDDW is the opcode of a 64-bit immediate load, the one wide instruction.
const OpLDDW = ClassLD | ModeIMM | SizeDW

// Src of a 64-bit immediate load.
const (
	PseudoNone     = 0
	PseudoMapFD    = 1 // Imm: index into the image's maps
	PseudoMapValue = 2 // the same; the second slot's Imm: offset into the value
	PseudoBTFID    = 3
	PseudoFunc     = 4 // Imm: distance to the function, from the next instruction
	PseudoMapIdx   = 5
	PseudoMapIdxV  = 6
)

// Src of a call.
const (
	CallHelper = 0 // Imm: helper number
	CallLocal  = 1 // Imm: distance to the function, from the next instruction
	CallKfunc  = 2
)

// Registers. R0 is the result, R1 to R5 are arguments, a call preserves R6 to R9,
// and R10 is the frame pointer.
const (
	R0 = iota
	R1
	R2
	R3
	R4
	R5
	R6
	R7
	R8
	R9
	R10
)

// Limits that every Linux kernel since 5.2 has.
const (
	StackSize    = 512 // bytes a program and the functions that it calls may use
	MaxFrames    = 8   // depth of calls
	MaxTailCalls = 33
)

// SizeOf gives the width in bytes of a load or store opcode.
func SizeOf(op uint8) int {
	switch op & 0x18 {
	case SizeB:
		return 1
	case SizeH:
		return 2
	case SizeW:
		return 4
	}
	return 8
}
