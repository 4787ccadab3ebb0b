package isa

import "fmt"

// Text is the instruction as Linux's verifier and bpftool write it, close to C:
// "r6 = r1", "*(u64 *)(r10 -8) = r1". High is the upper half of a wide
// immediate. Whom a call calls stands as a number.
func (i Instruction) Text(high int32) string {
	switch i.Class() {
	case ClassALU, ClassALU64:
		return i.aluText()
	case ClassLDX:
		return i.loadText()
	case ClassST:
		return fmt.Sprintf("%s = %d", i.memoryText(i.Dst), i.Imm)
	case ClassSTX:
		if i.Op&0xe0 == ModeATOMIC {
			return i.atomicText()
		}
		return fmt.Sprintf("%s = r%d", i.memoryText(i.Dst), i.Src)
	case ClassLD:
		switch {
		case i.Op == OpLDDW:
			return fmt.Sprintf("r%d = %#x", i.Dst, uint64(high)<<32|uint64(uint32(i.Imm)))
		case i.Op&0xe0 == ModeABS:
			return fmt.Sprintf("r0 = *(%s *)skb[%d]", unsignedNames[i.Op>>3&3], i.Imm)
		case i.Op&0xe0 == ModeIND:
			return fmt.Sprintf("r0 = *(%s *)skb[r%d + %d]", unsignedNames[i.Op>>3&3], i.Src, i.Imm)
		}
	case ClassJMP, ClassJMP32:
		return i.jumpText()
	}
	return i.unknownText()
}

var (
	aluNames = map[uint8]string{
		AluADD: "+=", AluSUB: "-=", AluMUL: "*=", AluDIV: "/=", AluOR: "|=", AluAND: "&=", AluLSH: "<<=",
		AluRSH: ">>=", AluMOD: "%=", AluXOR: "^=", AluMOV: "=", AluARSH: "s>>=",
	}
	jumpNames = map[uint8]string{
		JmpJEQ: "==", JmpJGT: ">", JmpJGE: ">=", JmpJSET: "&", JmpJNE: "!=", JmpJSGT: "s>", JmpJSGE: "s>=",
		JmpJLT: "<", JmpJLE: "<=", JmpJSLT: "s<", JmpJSLE: "s<=",
	}
	fetchNames    = map[int32]string{AtomicADD: "add", AtomicOR: "or", AtomicAND: "and", AtomicXOR: "xor"}
	unsignedNames = [4]string{"u32", "u16", "u8", "u64"} // by the size's bits
	signedNames   = [4]string{"s32", "s16", "s8", "s64"}
)

func (i Instruction) unknownText() string { return fmt.Sprintf("unknown instruction %02x", i.Op) }

func (i Instruction) aluText() string {
	r := byte('r')
	if i.Class() == ClassALU {
		r = 'w'
	}
	op := i.Op & 0xf0
	switch {
	case op == AluEND && r == 'r':
		return fmt.Sprintf("r%d = bswap%d r%d", i.Dst, i.Imm, i.Dst)
	case op == AluEND && i.Op&SrcX != 0:
		return fmt.Sprintf("r%d = be%d r%d", i.Dst, i.Imm, i.Dst)
	case op == AluEND:
		return fmt.Sprintf("r%d = le%d r%d", i.Dst, i.Imm, i.Dst)
	case op == AluNEG:
		return fmt.Sprintf("%c%d = -%c%d", r, i.Dst, r, i.Dst)
	case op == AluMOV && i.Op&SrcX != 0 && i.Off == 1:
		return fmt.Sprintf("r%d = addr_space_cast(r%d, %d, %d)", i.Dst, i.Src, uint32(i.Imm)>>16, uint16(i.Imm))
	case op == AluMOV && i.Op&SrcX != 0 && i.Off != 0:
		return fmt.Sprintf("%c%d = (s%d)%c%d", r, i.Dst, i.Off, r, i.Src)
	}
	name, ok := aluNames[op]
	if !ok {
		return i.unknownText()
	}
	if i.Off == 1 && (op == AluDIV || op == AluMOD) {
		name = "s" + name
	}
	if i.Op&SrcX != 0 {
		return fmt.Sprintf("%c%d %s %c%d", r, i.Dst, name, r, i.Src)
	}
	return fmt.Sprintf("%c%d %s %d", r, i.Dst, name, i.Imm)
}

// memoryText is the memory that a load or store means, with reg as its base.
func (i Instruction) memoryText(reg uint8) string {
	return fmt.Sprintf("*(%s *)(r%d %+d)", unsignedNames[i.Op>>3&3], reg, i.Off)
}

func (i Instruction) loadText() string {
	switch i.Op & 0xe0 {
	case ModeMEM:
		return fmt.Sprintf("r%d = %s", i.Dst, i.memoryText(i.Src))
	case ModeMEMSX:
		return fmt.Sprintf("r%d = *(%s *)(r%d %+d)", i.Dst, signedNames[i.Op>>3&3], i.Src, i.Off)
	}
	return i.unknownText()
}

func (i Instruction) atomicText() string {
	wide := ""
	if i.Op&SizeDW == SizeDW {
		wide = "64"
	}
	at := fmt.Sprintf("(%s *)(r%d %+d)", unsignedNames[i.Op>>3&3], i.Dst, i.Off)
	switch i.Imm {
	case AtomicADD, AtomicOR, AtomicAND, AtomicXOR:
		return fmt.Sprintf("lock *%s %s r%d", at, aluNames[uint8(i.Imm)], i.Src)
	case AtomicADD | AtomicFetch, AtomicOR | AtomicFetch, AtomicAND | AtomicFetch, AtomicXOR | AtomicFetch:
		return fmt.Sprintf("r%d = atomic%s_fetch_%s(%s, r%d)", i.Src, wide, fetchNames[i.Imm&^AtomicFetch], at, i.Src)
	case AtomicXCHG:
		return fmt.Sprintf("r%d = atomic%s_xchg(%s, r%d)", i.Src, wide, at, i.Src)
	case AtomicCMPXCHG:
		return fmt.Sprintf("r0 = atomic%s_cmpxchg(%s, r0, r%d)", wide, at, i.Src)
	case AtomicLoadAcq:
		return fmt.Sprintf("r%d = load_acquire((%s *)(r%d %+d))", i.Dst, unsignedNames[i.Op>>3&3], i.Src, i.Off)
	case AtomicStoreRl:
		return fmt.Sprintf("store_release(%s, r%d)", at, i.Src)
	}
	return i.unknownText()
}

func (i Instruction) jumpText() string {
	r := byte('r')
	if i.Class() == ClassJMP32 {
		r = 'w'
	}
	op := i.Op & 0xf0
	switch {
	case op == JmpCALL && i.Src == CallLocal:
		return fmt.Sprintf("call pc%+d", i.Imm)
	case op == JmpCALL && i.Src == CallKfunc:
		return fmt.Sprintf("call kernel-function#%d", i.Imm)
	case op == JmpCALL:
		return fmt.Sprintf("call helper#%d", i.Imm)
	case op == JmpEXIT:
		return "exit"
	case op == JmpJA && i.Op&SrcX != 0:
		return fmt.Sprintf("gotox r%d", i.Dst)
	case op == JmpJA && r == 'w':
		return fmt.Sprintf("gotol pc%+d", i.Imm)
	case op == JmpJA:
		return fmt.Sprintf("goto pc%+d", i.Off)
	case op == JmpJCOND:
		return fmt.Sprintf("may_goto pc%+d", i.Off)
	}
	name, ok := jumpNames[op]
	if !ok {
		return i.unknownText()
	}
	if i.Op&SrcX != 0 {
		return fmt.Sprintf("if %c%d %s %c%d goto pc%+d", r, i.Dst, name, r, i.Src, i.Off)
	}
	return fmt.Sprintf("if %c%d %s %#x goto pc%+d", r, i.Dst, name, uint32(i.Imm), i.Off)
}
