package verifier

import "github.com/skep-ebpf/skep/isa"

// opcodes are the instructions that exist.
var opcodes = func() (known [256]bool) {
	for _, op := range []uint8{isa.AluADD, isa.AluSUB, isa.AluAND, isa.AluOR, isa.AluLSH, isa.AluRSH, isa.AluXOR, isa.AluMUL, isa.AluMOV, isa.AluARSH, isa.AluDIV, isa.AluMOD} {
		for _, src := range []uint8{isa.SrcK, isa.SrcX} {
			known[isa.ClassALU|op|src], known[isa.ClassALU64|op|src] = true, true
		}
	}
	for _, op := range []uint8{isa.JmpJEQ, isa.JmpJNE, isa.JmpJGT, isa.JmpJLT, isa.JmpJGE, isa.JmpJLE, isa.JmpJSGT, isa.JmpJSLT, isa.JmpJSGE, isa.JmpJSLE, isa.JmpJSET} {
		for _, src := range []uint8{isa.SrcK, isa.SrcX} {
			known[isa.ClassJMP|op|src], known[isa.ClassJMP32|op|src] = true, true
		}
	}
	for _, op := range []uint8{
		isa.ClassALU | isa.AluNEG, isa.ClassALU64 | isa.AluNEG,
		isa.ClassALU | isa.AluEND, isa.ClassALU | isa.AluEND | isa.SrcX, isa.ClassALU64 | isa.AluEND,
		isa.ClassJMP | isa.JmpCALL, isa.ClassJMP | isa.JmpEXIT, isa.ClassJMP | isa.JmpJCOND,
		isa.ClassJMP | isa.JmpJA, isa.ClassJMP32 | isa.JmpJA, isa.ClassJMP | isa.JmpJA | isa.SrcX,
		isa.OpLDDW,
	} {
		known[op] = true
	}
	for _, size := range []uint8{isa.SizeB, isa.SizeH, isa.SizeW, isa.SizeDW} {
		known[isa.ClassLDX|isa.ModeMEM|size] = true
		known[isa.ClassST|isa.ModeMEM|size] = true
		known[isa.ClassSTX|isa.ModeMEM|size] = true
		known[isa.ClassSTX|isa.ModeATOMIC|size] = true
		if size != isa.SizeDW {
			known[isa.ClassLDX|isa.ModeMEMSX|size] = true
			known[isa.ClassLD|isa.ModeABS|size] = true
			known[isa.ClassLD|isa.ModeIND|size] = true
		}
	}
	return known
}()

// checkFields refuses instructions that do not exist, and those with fields that
// they do not use and that are not 0.
func (c *checker) checkFields() error {
	for i := 0; i < len(c.insns); i++ {
		c.insn = i
		ins := &c.insns[i]
		for _, n := range []uint8{ins.Dst, ins.Src} {
			if n > isa.R10 {
				return c.fail(CauseInstruction, "R%d is invalid", n)
			}
		}
		if ins.IsWide() {
			if err := c.checkWide(i); err != nil {
				return err
			}
			i++
			continue
		}
		if !opcodes[ins.Op] {
			return c.fail(CauseInstruction, "unknown opcode %02x", ins.Op)
		}
		var words string
		switch ins.Class() {
		case isa.ClassALU, isa.ClassALU64:
			words = aluFields(ins)
		case isa.ClassJMP, isa.ClassJMP32:
			if isMayGotoOp(ins) && !validMayGoto(ins) {
				return c.fail(CauseInstruction, "invalid may_goto imm %d", ins.Imm)
			}
			words = jumpFields(ins)
		default:
			words = memoryFields(ins)
		}
		if words != "" {
			return c.fail(CauseInstruction, "%s", words)
		}
	}
	return nil
}

// checkWide checks the two slots of a wide load.
func (c *checker) checkWide(i int) error {
	if i+1 == len(c.insns) {
		return c.fail(CauseInstruction, "invalid bpf_ld_imm64 insn")
	}
	ins, second := &c.insns[i], c.insns[i+1]
	upper := second.Imm
	second.Imm = 0
	switch {
	case second != isa.Instruction{}:
		return c.fail(CauseInstruction, "invalid bpf_ld_imm64 insn")
	case ins.Off != 0:
		return c.fail(CauseInstruction, "BPF_LD_IMM64 uses reserved fields")
	}
	return c.checkImmediate(ins, uint32(upper))
}

// aluFields gives Linux's words on an arithmetic instruction's fields; "": none.
func aluFields(ins *isa.Instruction) string {
	wide, register := ins.Class() == isa.ClassALU64, ins.Op&isa.SrcX != 0
	switch ins.Op & 0xf0 {
	case isa.AluNEG:
		if register || ins.Src != 0 || ins.Off != 0 || ins.Imm != 0 {
			return "BPF_NEG uses reserved fields"
		}
	case isa.AluEND:
		if ins.Src != 0 || ins.Off != 0 || ins.Imm != 16 && ins.Imm != 32 && ins.Imm != 64 || wide && register {
			return "BPF_END uses reserved fields"
		}
	case isa.AluMOV:
		const spaceCast = 1
		switch {
		case !register:
			if ins.Src != 0 || ins.Off != 0 {
				return "BPF_MOV uses reserved fields"
			}
		case wide && ins.Off == spaceCast:
			if ins.Imm != 1 && ins.Imm != 1<<16 {
				return "addr_space_cast insn can only convert between address space 1 and 0"
			}
		case ins.Off != 0 && ins.Off != 8 && ins.Off != 16 && !(wide && ins.Off == 32) || ins.Imm != 0:
			return "BPF_MOV uses reserved fields"
		}
	default:
		op := ins.Op & 0xf0
		signed := ins.Off == 1 && (op == isa.AluDIV || op == isa.AluMOD)
		if ins.Off != 0 && !signed || register && ins.Imm != 0 || !register && ins.Src != 0 {
			return "BPF_ALU uses reserved fields"
		}
	}
	return ""
}

func isMayGotoOp(ins *isa.Instruction) bool { return ins.Op&0xf0 == isa.JmpJCOND }

func validMayGoto(ins *isa.Instruction) bool {
	return isMayGoto(ins) && ins.Dst == 0 && ins.Imm == 0
}

// jumpFields is aluFields of jumps, calls and exits.
func jumpFields(ins *isa.Instruction) string {
	register := ins.Op&isa.SrcX != 0
	switch ins.Op & 0xf0 {
	case isa.JmpCALL:
		if ins.Src > isa.CallKfunc || ins.Src != isa.CallKfunc && ins.Off != 0 || ins.Dst != 0 {
			return "BPF_CALL uses reserved fields"
		}
	case isa.JmpJA:
		switch {
		case register && (ins.Src != 0 || ins.Imm != 0 || ins.Off != 0):
			return "BPF_JA|BPF_X uses reserved fields"
		case register:
		case ins.Src != 0 || ins.Dst != 0,
			ins.Class() == isa.ClassJMP && ins.Imm != 0,
			ins.Class() == isa.ClassJMP32 && ins.Off != 0:
			return "BPF_JA uses reserved fields"
		}
	case isa.JmpEXIT:
		if ins.Imm != 0 || ins.Src != 0 || ins.Dst != 0 {
			return "BPF_EXIT uses reserved fields"
		}
	case isa.JmpJCOND:
	default:
		if register && ins.Imm != 0 || !register && ins.Src != 0 {
			return "BPF_JMP/JMP32 uses reserved fields"
		}
	}
	return ""
}

// memoryFields is aluFields of loads and stores.
func memoryFields(ins *isa.Instruction) string {
	mode := ins.Op & 0xe0
	switch ins.Class() {
	case isa.ClassLDX:
		if ins.Imm != 0 {
			return "BPF_LDX uses reserved fields"
		}
	case isa.ClassSTX:
		if mode == isa.ModeMEM && ins.Imm != 0 {
			return "BPF_STX uses reserved fields"
		}
	case isa.ClassST:
		if ins.Src != 0 {
			return "BPF_ST uses reserved fields"
		}
	case isa.ClassLD:
		if ins.Dst != 0 || ins.Off != 0 || mode == isa.ModeABS && ins.Src != 0 {
			return "BPF_LD_[ABS|IND] uses reserved fields"
		}
	}
	return ""
}
