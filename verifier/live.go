package verifier

import "github.com/skep-ebpf/skep/isa"

const (
	allRegs    = 1<<11 - 1
	callerRegs = 1<<isa.R0 | argRegs // what a call does not preserve
	argRegs    = 1<<isa.R1 | 1<<isa.R2 | 1<<isa.R3 | 1<<isa.R4 | 1<<isa.R5
)

// findPostorder orders the instructions of each function so that most come behind
// those that follow them: the order in which facts spread fastest.
func (c *checker) findPostorder() {
	var (
		seen  = make([]bool, len(c.insns))
		left  = make([]bool, len(c.insns))
		stack []int
		buf   [2]int
	)
	for n := range c.funcs {
		f := &c.funcs[n]
		f.postorder = f.postorder[:0]
		stack = append(stack[:0], f.Start)
		seen[f.Start] = true
		for len(stack) > 0 {
			i := stack[len(stack)-1]
			if left[i] {
				f.postorder = append(f.postorder, int32(i))
				stack = stack[:len(stack)-1]
				continue
			}
			left[i] = true
			for _, s := range c.successors(i, &buf) {
				if !seen[s] {
					seen[s] = true
					stack = append(stack, s)
				}
			}
		}
	}
}

// findLive computes which registers are read later.
func (c *checker) findLive() {
	type sets struct{ use, def uint16 }
	regs := make([]sets, len(c.insns))
	for i := range c.insns {
		regs[i].use, regs[i].def = c.usedRegs(i)
	}
	var buf [2]int
	for n := range c.funcs {
		for changed := true; changed; {
			changed = false
			for _, i := range c.funcs[n].postorder {
				var out uint16
				for _, s := range c.successors(int(i), &buf) {
					out |= c.aux[s].liveRegs
				}
				in := out&^regs[i].def | regs[i].use
				if in != c.aux[i].liveRegs {
					c.aux[i].liveRegs, changed = in, true
				}
			}
		}
	}
}

// usedRegs gives the registers that an instruction reads and those that it writes.
func (c *checker) usedRegs(i int) (use, def uint16) {
	ins := &c.insns[i]
	dst, src := uint16(1)<<ins.Dst, uint16(1)<<ins.Src
	register := ins.Op&isa.SrcX != 0
	switch ins.Class() {
	case isa.ClassLD:
		if ins.IsWide() {
			return 0, dst
		}
		return allRegs, 0
	case isa.ClassLDX:
		return src, dst
	case isa.ClassST:
		return dst, 0
	case isa.ClassSTX:
		return usedByStore(ins)
	case isa.ClassALU, isa.ClassALU64:
		switch op := ins.Op & 0xf0; {
		case op == isa.AluMOV && !register:
			return 0, dst
		case op == isa.AluMOV:
			return src, dst
		case op == isa.AluEND || !register:
			return dst, dst
		}
		return dst | src, dst
	}
	switch ins.Op & 0xf0 {
	case isa.JmpJA:
		if register {
			return dst, 0
		}
		return 0, 0
	case isa.JmpJCOND:
		return 0, 0
	case isa.JmpEXIT:
		return 1 << isa.R0, 0
	case isa.JmpCALL:
		return 1<<(c.params(i)+1) - 2, callerRegs
	}
	if register {
		return dst | src, 0
	}
	return dst, 0
}

// usedByStore is usedRegs of stores of registers and of atomic instructions.
func usedByStore(ins *isa.Instruction) (use, def uint16) {
	dst, src := uint16(1)<<ins.Dst, uint16(1)<<ins.Src
	if ins.Op&0xe0 == isa.ModeATOMIC {
		switch {
		case ins.Imm == isa.AtomicCMPXCHG:
			return dst | src | 1<<isa.R0, 1 << isa.R0
		case ins.Imm == isa.AtomicLoadAcq:
			return src, dst
		case ins.Imm == isa.AtomicStoreRl:
		case ins.Imm&isa.AtomicFetch != 0:
			return dst | src, src
		}
	}
	return dst | src, 0
}
