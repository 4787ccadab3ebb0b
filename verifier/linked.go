package verifier

import (
	"math"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/verifier/scalar"
)

// Registers that hold the same number, or numbers that differ by a constant, share an
// ID, so that what a comparison tells of one is known of all.

// unlink makes what is learnt of other registers no longer hold for this one.
func (r *Reg) unlink() { r.ID, r.Delta = 0, 0 }

// link gives a number that is about to be copied an ID to share, as Linux does from 5.10 on.
func (c *checker) link(r *Reg) {
	if r.Type != Scalar || !c.since(5, 10) {
		return
	}
	if r.ID&idAddConst != 0 { // differences are not added up
		r.unlink()
	}
	if r.ID == 0 && !r.Value.IsConst() {
		r.ID = c.newID()
	}
}

// linkSum keeps the link of a register to which a constant was added, as a
// difference. wasUMax is what the register was at most.
func (c *checker) linkSum(ins *isa.Instruction, dst *Reg, wasUMax uint64, by *scalar.Value) {
	delta, ok := c.delta(ins, wasUMax, by)
	if !ok || !c.capable || dst.ID == 0 || dst.ID&idAddConst != 0 {
		dst.unlink()
		return
	}
	dst.Delta = delta
	if is32(ins) {
		dst.ID |= idAddConst32
	} else {
		dst.ID |= idAddConst64
	}
}

// delta is what an addition or subtraction adds to every number that the register may
// have held, where that can be kept.
func (c *checker) delta(ins *isa.Instruction, wasUMax uint64, by *scalar.Value) (int32, bool) {
	if usesSource(ins) && ins.Src == ins.Dst {
		return 0, false
	}
	var k int32
	if is32(ins) {
		low, ok := by.Const32()
		if !ok || wasUMax > math.MaxUint32 {
			return 0, false
		}
		k = int32(low)
	} else {
		v := int64(by.Bits.Value)
		if !by.IsConst() || v < math.MinInt32 || v > math.MaxInt32 {
			return 0, false
		}
		k = int32(v)
	}
	if !c.since(6, 11) || !c.since(6, 18) && (is32(ins) || ins.Op&0xf0 == isa.AluSUB || k < 0) {
		return 0, false
	}
	if ins.Op&0xf0 == isa.AluSUB {
		return -k, k != math.MinInt32
	}
	return k, true
}

// linkedTo finds the registers and spilled registers that share a number's ID. Those
// for which there is no room lose it.
func (c *checker) linkedTo(id uint32, regs *linkedRegs) {
	id &^= idAddConst
	room := c.linkedRoom()
	for n := len(c.st.frames) - 1; n >= 0; n-- {
		f := c.st.frames[n]
		live := c.aux[c.frameInsn(c.st, n)].liveRegs
		for i := range isa.R10 {
			if r := &f.regs[i]; live&(1<<i) != 0 && r.hasID(id) && !regs.add(n, false, i, room) {
				r.unlink()
			}
		}
		for i := range f.stack {
			sl := &f.stack[i]
			if !sl.isSpill() || !sl.reg.hasID(id) || regs.add(n, true, i, room) {
				continue
			}
			alone := *sl.reg
			alone.unlink()
			sl.reg = &alone
		}
	}
}

// linkedRoom is how many registers may be linked (LINKED_REGS_MAX).
func (c *checker) linkedRoom() int {
	if c.since(7, 2) {
		return 5
	}
	return 6
}

// hasID reports whether a register holds a number of the ID.
func (r *Reg) hasID(id uint32) bool { return r.Type == Scalar && r.ID&^idAddConst == id }

// spread tells the registers of a state that are linked to known what known has learnt.
func (c *checker) spread(s *state, known *Reg, regs linkedRegs) {
	if known.Type != Scalar || known.ID == 0 {
		return
	}
	for i := range regs.count() {
		n, spilled, at := regs.at(i)
		f := s.frames[n]
		if !spilled {
			if r := &f.regs[at]; r != known {
				r.learn(c.rules, known)
			}
			continue
		}
		r := *f.stack[at].reg
		if r.learn(c.rules, known) {
			f.stack[at].reg = &r
		}
	}
}

// learn takes over what is known of another register of the same ID.
func (r *Reg) learn(by scalar.Rules, known *Reg) bool {
	if !r.hasID(known.ID &^ idAddConst) {
		return false
	}
	if (r.ID^known.ID)&idAddConst == idAddConst { // differences of different widths
		return false
	}
	if (r.ID|known.ID)&idAddConst == 0 || r.Delta == known.Delta {
		*r = *known
		return true
	}
	id, delta := r.ID, r.Delta
	*r = *known
	r.ID, r.Delta = id, delta
	r.Value.Move(by, int64(delta)-int64(known.Delta))
	if (id|known.ID)&idAddConst32 != 0 {
		r.ZeroExtend(by)
	}
	return true
}
