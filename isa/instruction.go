package isa

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Size is the size of one instruction slot in bytes.
const Size = 8

// Instruction is one raw instruction slot. A 64-bit immediate load (LDDW) takes
// two; the second holds the upper half of the value in Imm and nothing else.
type Instruction struct {
	Op  uint8
	Dst uint8 // 0..15 as encoded; only 0..10 are registers
	Src uint8
	Off int16
	Imm int32
}

// Class is the instruction's class, one of the Class constants.
func (i Instruction) Class() uint8 { return i.Op & 0x07 }

// IsWide reports whether the instruction takes two slots.
func (i Instruction) IsWide() bool { return i.Op == OpLDDW }

// IsCall reports whether the instruction is a call of the given kind, one of
// the CallX constants.
func (i Instruction) IsCall(kind uint8) bool {
	return i.Op == ClassJMP|JmpCALL && i.Src == kind
}

// Decode reads little-endian instruction slots. It fails only where b is not a
// whole number of slots: what the bytes mean is for the verifier and the
// machine to judge.
func Decode(b []byte) ([]Instruction, error) {
	if len(b)%Size != 0 {
		return nil, fmt.Errorf("%d bytes are not a whole number of %d-byte instructions", len(b), Size)
	}
	insns := make([]Instruction, 0, len(b)/Size)
	for ; len(b) > 0; b = b[Size:] {
		insns = append(insns, Instruction{
			Op:  b[0],
			Dst: b[1] & 0x0f,
			Src: b[1] >> 4,
			Off: int16(binary.LittleEndian.Uint16(b[2:])),
			Imm: int32(binary.LittleEndian.Uint32(b[4:])),
		})
	}
	return insns, nil
}

// Encode is the inverse of [Decode].
func Encode(insns []Instruction) []byte {
	b := make([]byte, 0, len(insns)*Size)
	for _, i := range insns {
		b = append(b, i.Op, i.Dst&0x0f|i.Src<<4)
		b = binary.LittleEndian.AppendUint16(b, uint16(i.Off))
		b = binary.LittleEndian.AppendUint32(b, uint32(i.Imm))
	}
	return b
}

// Functions gives the first instruction of each function that the program begins with,
// calls or takes the address of, in their order.
func Functions(insns []Instruction) []int {
	starts := []int{0}
	for i := 0; i < len(insns); i++ {
		at, leads := i, false
		switch ins := &insns[i]; ins.Op {
		case ClassJMP | JmpCALL:
			leads = ins.Src == CallLocal
		case OpLDDW:
			leads = ins.Src == PseudoFunc
			i++
		}
		if leads {
			starts = append(starts, at+1+int(insns[at].Imm))
		}
	}
	slices.Sort(starts)
	return slices.Compact(starts)
}

// Writes is the register that the instruction writes; of those that a call leaves: R0.
func (i Instruction) Writes() (reg uint8, ok bool) {
	switch i.Class() {
	case ClassALU, ClassALU64, ClassLDX:
		return i.Dst, true
	case ClassLD:
		if i.Op == OpLDDW {
			return i.Dst, true
		}
		return R0, true
	case ClassSTX:
		switch {
		case i.Op&0xe0 != ModeATOMIC:
		case i.Imm == AtomicCMPXCHG:
			return R0, true
		case i.Imm == AtomicLoadAcq:
			return i.Dst, true
		case i.Imm&AtomicFetch != 0:
			return i.Src, true
		}
	case ClassJMP:
		if i.Op == ClassJMP|JmpCALL {
			return R0, true
		}
	}
	return 0, false
}
