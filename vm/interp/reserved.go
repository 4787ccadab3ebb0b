package interp

import (
	"fmt"

	"github.com/skep-ebpf/skep/isa"
)

// reserved refuses fields that an instruction does not use and that are not 0.
func reserved(ins isa.Instruction) error {
	unused := func(name string, value int, used bool) error {
		if used || value == 0 {
			return nil
		}
		return fmt.Errorf("the instruction does not use its field %s, which must be 0 and is %d", name, value)
	}
	dst, src, off, imm := used(ins)
	for _, err := range []error{
		unused("dst", int(ins.Dst), dst),
		unused("src", int(ins.Src), src),
		unused("off", int(ins.Off), off),
		unused("imm", int(ins.Imm), imm),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

// used gives the fields that an instruction uses.
func used(ins isa.Instruction) (dst, src, off, imm bool) {
	register := ins.Op&isa.SrcX != 0
	switch ins.Class() {
	case isa.ClassALU, isa.ClassALU64:
		switch ins.Op & 0xf0 {
		case isa.AluNEG:
			return true, false, false, false
		case isa.AluEND:
			return true, false, false, true
		case isa.AluMOV:
			cast := ins.Op == isa.ClassALU64|isa.SrcX|isa.AluMOV && ins.Off == 1
			return true, register, register, !register || cast
		case isa.AluDIV, isa.AluMOD:
			return true, register, true, !register
		}
		return true, register, false, !register
	case isa.ClassJMP, isa.ClassJMP32:
		switch ins.Op {
		case isa.ClassJMP | isa.JmpJA:
			return false, false, true, false
		case isa.ClassJMP | isa.SrcX | isa.JmpJA:
			return true, false, false, false
		case isa.ClassJMP32 | isa.JmpJA:
			return false, false, false, true
		case isa.ClassJMP | isa.JmpJCOND:
			return false, false, true, false
		case isa.ClassJMP | isa.JmpEXIT:
			return false, false, false, false
		case isa.ClassJMP | isa.JmpCALL:
			return false, true, ins.Src == isa.CallKfunc, true
		case isa.ClassJMP | isa.SrcX | isa.JmpCALL:
			return true, false, false, false
		}
		return true, register, true, !register
	case isa.ClassLD:
		if ins.IsWide() {
			return true, true, false, true
		}
		return false, ins.Op&0xe0 == isa.ModeIND, false, true
	case isa.ClassLDX:
		return true, true, true, false
	case isa.ClassST:
		return true, false, true, true
	}
	return true, true, true, ins.Op&0xe0 == isa.ModeATOMIC
}
