package verifier

import "github.com/skep-ebpf/skep/isa"

// trail is the last instruction of a path, with those before it: what a refusal is
// explained by. Paths share their beginnings. It is kept in a second walk only,
// which [Error.Explain] makes.
type trail struct {
	before *trail
	insn   int
	frame  int
	result Reg // what the instruction left in the register that it writes
}

// trailLimit is how many instructions a walk may have looked at to be explained by
// one that keeps trails.
const trailLimit = 300_000

// follow adds an instruction that was looked at to the path's trail.
func (c *checker) follow(insn, frame int) {
	t := &trail{before: c.st.trail, insn: insn, frame: frame}
	if reg, ok := c.insns[insn].Writes(); ok && frame < len(c.st.frames) {
		t.result = c.st.frames[frame].regs[reg]
	}
	c.st.trail = t
}

// slice goes back along a trail and gives the instructions that made a register of
// a frame hold what it does, the first one first, and at most limit of them.
func (c *checker) slice(t *trail, frame int, reg uint8, limit int) []*trail {
	want := wanted{frame: frame, regs: 1 << reg}
	var found []*trail
	for ; t != nil && !want.none() && len(found) < limit; t = t.before {
		if want.back(&c.insns[t.insn], t.frame) {
			found = append(found, t)
		}
	}
	for i, j := 0, len(found)-1; i < j; i, j = i+1, j-1 {
		found[i], found[j] = found[j], found[i]
	}
	return found
}

// wanted is what a slice still looks for: registers and slots of the stack of one
// frame.
type wanted struct {
	frame int
	regs  uint16
	slots uint64
}

func (w *wanted) none() bool { return w.regs == 0 && w.slots == 0 }

func (w *wanted) has(reg uint8) bool { return w.regs>>reg&1 != 0 }

// back steps back over an instruction of a frame, and reports whether it made what
// was wanted, or told something of it.
func (w *wanted) back(ins *isa.Instruction, frame int) bool {
	if frame > w.frame {
		return false // a function that was called and has returned
	}
	if frame < w.frame { // the call that began the frame
		w.frame, w.slots = frame, 0
		w.regs &= 1<<isa.R1 | 1<<isa.R2 | 1<<isa.R3 | 1<<isa.R4 | 1<<isa.R5
		return false
	}
	if ins.Class() == isa.ClassSTX || ins.Class() == isa.ClassST {
		if hit := w.stored(ins); hit {
			return true
		}
	}
	reg, ok := ins.Writes()
	if !ok {
		return w.compared(ins)
	}
	if !w.has(reg) {
		return false
	}
	w.regs &^= 1 << reg
	w.sources(ins)
	return true
}

// stored looks for a wanted slot that a store fills.
func (w *wanted) stored(ins *isa.Instruction) bool {
	if ins.Dst != isa.R10 || ins.Off >= 0 || ins.Off < -isa.StackSize {
		return false
	}
	slot := slotAt(int(ins.Off))
	if w.slots>>slot&1 == 0 {
		return false
	}
	w.slots &^= 1 << slot
	if ins.Class() == isa.ClassSTX {
		w.regs |= 1 << ins.Src
	}
	return true
}

// compared reports whether an instruction compares what is wanted.
func (w *wanted) compared(ins *isa.Instruction) bool {
	if cl := ins.Class(); cl != isa.ClassJMP && cl != isa.ClassJMP32 {
		return false
	}
	switch ins.Op & 0xf0 {
	case isa.JmpJA, isa.JmpCALL, isa.JmpEXIT, isa.JmpJCOND:
		return false
	}
	return w.has(ins.Dst) || ins.Op&isa.SrcX != 0 && w.has(ins.Src)
}

// sources wants what an instruction made its result of.
func (w *wanted) sources(ins *isa.Instruction) {
	switch ins.Class() {
	case isa.ClassALU, isa.ClassALU64:
		if ins.Op&0xf0 != isa.AluMOV {
			w.regs |= 1 << ins.Dst
		}
		if ins.Op&isa.SrcX != 0 && ins.Op&0xf0 != isa.AluEND {
			w.regs |= 1 << ins.Src
		}
	case isa.ClassLDX:
		if ins.Src == isa.R10 && ins.Off < 0 && ins.Off >= -isa.StackSize {
			w.slots |= 1 << slotAt(int(ins.Off))
		}
	}
	w.regs &^= 1 << isa.R10
}
