package verifier

import (
	"math/bits"

	"github.com/skep-ebpf/skep/isa"
)

// Which numbers matter: a number is precise where an address, a size or the way
// taken depends on it. Others need not be compared between states. When an
// instruction needs a number, the path is followed back to where that came from, and
// what it was made of is marked in the states kept on the way.

// backtrack is what is looked for on the way back.
type backtrack struct {
	frame   int
	regs    [isa.MaxFrames]uint16
	slots   [isa.MaxFrames]uint64
	changed bool // something was marked
}

func (b *backtrack) empty() bool {
	for f := range b.frame + 1 {
		if b.regs[f] != 0 || b.slots[f] != 0 {
			return false
		}
	}
	return true
}

func (b *backtrack) reset() {
	clear(b.regs[:])
	clear(b.slots[:])
}

func (b *backtrack) has(n uint8) bool { return b.regs[b.frame]&(1<<n) != 0 }
func (b *backtrack) add(n uint8)      { b.regs[b.frame] |= 1 << n }
func (b *backtrack) drop(n uint8)     { b.regs[b.frame] &^= 1 << n }

// enter and leave follow a call back into the callee, and out of it. They are false
// where that cannot be.
func (b *backtrack) enter() bool {
	if b.frame == isa.MaxFrames-1 {
		return false
	}
	b.frame++
	return true
}

func (b *backtrack) leave() bool {
	if b.frame == 0 {
		return false
	}
	b.frame--
	return true
}

// allPrecise reports whether each number counts as precise.
func (c *checker) allPrecise() bool { return !c.capable || c.summary != nil }

// precise marks a register's number as one that safety depends on, here and back
// along the path to where it came from (mark_chain_precision).
func (c *checker) precise(n uint8) error {
	if c.allPrecise() {
		return nil
	}
	c.bt.frame = len(c.st.frames) - 1
	c.bt.add(n)
	c.markBack(c.st)
	return nil
}

// propagatePrecision makes precise in a state what is precise in the kept one that
// covers it, and back along its path.
func (c *checker) propagatePrecision(old, s *state) {
	if c.allPrecise() {
		return
	}
	c.bt.frame = len(s.frames) - 1
	for n, f := range old.frames {
		for m := f.precise; m != 0; m &= m - 1 {
			if i := bits.TrailingZeros16(m); f.regs[i].Type == Scalar {
				c.bt.regs[n] |= 1 << i
			}
		}
		for m := f.preciseSlots; m != 0; m &= m - 1 {
			if i := bits.TrailingZeros64(m); f.spilledScalar(i) {
				c.bt.slots[n] |= 1 << i
			}
		}
	}
	c.markBack(s)
}

// spilledScalar reports whether a slot holds a spilled number.
func (f *frame) spilledScalar(i int) bool {
	return i < len(f.stack) && f.stack[i].isSpill() && f.stack[i].reg.Type == Scalar
}

// markBack follows the path of a state back until all that c.bt looks for is found,
// and marks it in the kept states on the way. Where it cannot tell, it marks
// everything. The state itself is not marked: only kept ones are compared with.
func (c *checker) markBack(start *state) {
	b := &c.bt
	if b.empty() {
		return
	}
	st, first, last, later := start, start.first, start.insn, -1
	for follow := false; ; {
		if last < 0 {
			if c.markArguments(st) {
				return
			}
			break
		}
		left := len(st.history)
		for i := last; ; {
			if follow && !c.back(i, later, st.stepAt(left, i)) {
				markAllPrecise(start)
				b.reset()
				return
			}
			follow = true
			if b.empty() {
				return
			}
			later = i
			if i, left = st.before(i, left); i < 0 {
				break
			}
		}
		if st = st.parent; st == nil {
			break
		}
		if !b.mark(st) {
			break
		}
		if b.empty() {
			return
		}
		later, last, first = first, st.last, st.first
	}
	markAllPrecise(start)
	b.reset()
}

// stepAt gives what the history up to a length records last, where that is of an
// instruction.
func (s *state) stepAt(left, insn int) *step {
	if left > 0 && int(s.history[left-1].insn) == insn {
		return &s.history[left-1]
	}
	return nil
}

// before gives the instruction that was before one, and how much of the history is
// then left; -1: the one was the state's first.
func (s *state) before(insn, left int) (int, int) {
	if insn == s.first && (left == 0 || left == 1 && int(s.history[0].insn) == insn) {
		return -1, left
	}
	if h := s.stepAt(left, insn); h != nil {
		return int(h.prev), left - 1
	}
	return insn - 1, left
}

// markArguments is markBack at the beginning of a global function: the numbers it is
// called with need not be known.
func (c *checker) markArguments(s *state) bool {
	f, b := s.frames[0], &c.bt
	if len(s.frames) > 1 || f.fn == 0 || f.callsite >= 0 || b.slots[0] != 0 || b.regs[0]&^argRegs != 0 {
		return false
	}
	f.precise |= b.regs[0]
	b.changed = true
	b.reset()
	return true
}

// mark marks in a kept state what is looked for, and drops what is marked already or
// is no number. It is false where the state has no such frame.
func (b *backtrack) mark(s *state) bool {
	if b.frame >= len(s.frames) {
		return false
	}
	for n := range b.frame + 1 {
		f := s.frames[n]
		for m := b.regs[n]; m != 0; m &= m - 1 {
			i := bits.TrailingZeros16(m)
			if f.regs[i].Type != Scalar || f.precise&(1<<i) != 0 {
				b.regs[n] &^= 1 << i
			}
		}
		for m := b.slots[n]; m != 0; m &= m - 1 {
			i := bits.TrailingZeros64(m)
			if !f.spilledScalar(i) || f.preciseSlots&(1<<i) != 0 {
				b.slots[n] &^= 1 << i
			}
		}
		if b.regs[n] != 0 || b.slots[n] != 0 {
			f.precise |= b.regs[n]
			f.preciseSlots |= b.slots[n]
			b.changed = true
		}
	}
	return true
}

// markAllPrecise makes every number precise in the kept states on the path to a
// state.
func markAllPrecise(s *state) {
	for s = s.parent; s != nil; s = s.parent {
		for _, f := range s.frames {
			f.precise, f.preciseSlots = allRegs, ^uint64(0)
		}
	}
}

// syncLinked looks for all of a step's linked registers where one is looked for.
func (b *backtrack) syncLinked(h *step) {
	if h == nil || h.linked == 0 {
		return
	}
	n, some := h.linked.count(), false
	for i := range n {
		frame, spilled, r := h.linked.at(i)
		if spilled && b.slots[frame]&(1<<r) != 0 || !spilled && b.regs[frame]&(1<<r) != 0 {
			some = true
			break
		}
	}
	if !some {
		return
	}
	for i := range n {
		if frame, spilled, r := h.linked.at(i); spilled {
			b.slots[frame] |= 1 << r
		} else {
			b.regs[frame] |= 1 << r
		}
	}
}

// back makes of what is looked for behind an instruction what must be looked for
// before it. later is the instruction that the path went on with. It is false where
// that cannot be told.
func (c *checker) back(i, later int, h *step) bool {
	b, ins := &c.bt, &c.insns[i]
	if ins.Op == 0 { // the second slot of a wide load
		return true
	}
	b.syncLinked(h)
	ok := true
	switch ins.Class() {
	case isa.ClassALU, isa.ClassALU64:
		b.backALU(ins)
	case isa.ClassLDX:
		b.backLoad(ins.Dst, h)
	case isa.ClassSTX:
		if r := atomicResult(ins); r >= 0 {
			b.backLoad(uint8(r), h)
			break
		}
		ok = b.backStore(ins, h)
	case isa.ClassST:
		ok = b.backStore(ins, h)
	case isa.ClassLD:
		if ins.IsWide() {
			b.drop(ins.Dst)
			break
		}
		// A packet load gives R0, and left the function where it failed.
		ok = !b.has(isa.R0) && (later == i+1 || b.enter())
	default:
		ok = c.backJump(i, later, h)
	}
	b.syncLinked(h)
	return ok
}

func (b *backtrack) backALU(ins *isa.Instruction) {
	op := ins.Op & 0xf0
	if !b.has(ins.Dst) || op == isa.AluEND || op == isa.AluNEG {
		return
	}
	if op == isa.AluMOV {
		b.drop(ins.Dst)
	}
	if ins.Op&isa.SrcX != 0 && ins.Src != isa.R10 {
		b.add(ins.Src)
	}
}

func (b *backtrack) backLoad(r uint8, h *step) {
	if !b.has(r) {
		return
	}
	b.drop(r)
	// What comes from other memory than the stack is any number.
	if h != nil && h.flags&stepStack != 0 {
		b.slots[h.frame] |= 1 << h.slot
	}
}

func (b *backtrack) backStore(ins *isa.Instruction, h *step) bool {
	if b.has(ins.Dst) { // a pointer that pointers were subtracted from
		return false
	}
	if h == nil || h.flags&stepStack == 0 || b.slots[h.frame]&(1<<h.slot) == 0 {
		return true
	}
	b.slots[h.frame] &^= 1 << h.slot
	if ins.Class() == isa.ClassSTX {
		b.add(ins.Src)
	}
	return true
}

// backJump is back of jumps, calls and exits.
func (c *checker) backJump(i, later int, h *step) bool {
	b, ins := &c.bt, &c.insns[i]
	switch ins.Op & 0xf0 {
	case isa.JmpCALL:
		return c.backCall(i, later)
	case isa.JmpEXIT:
		// An exit to behind a call is one of the function that it called; otherwise a
		// callback returns, whose result goes elsewhere.
		called := later > 0 && c.insns[later-1].IsCall(isa.CallLocal)
		if called && b.regs[b.frame]&argRegs != 0 {
			return false
		}
		r0 := called && b.has(isa.R0)
		b.drop(isa.R0)
		if !b.enter() {
			return false
		}
		if r0 {
			b.add(isa.R0)
		}
		return true
	case isa.JmpJA, isa.JmpJCOND:
		return true
	}
	if ins.Op&isa.SrcX == 0 || !b.has(ins.Dst) && !b.has(ins.Src) {
		return true
	}
	if h == nil || h.flags&stepSrcStack == 0 {
		b.add(ins.Src)
	}
	if h == nil || h.flags&stepDstStack == 0 {
		b.add(ins.Dst)
	}
	return true
}

func (c *checker) backCall(i, later int) bool {
	b, ins := &c.bt, &c.insns[i]
	switch {
	case ins.Src == isa.CallLocal && c.funcs[c.funcAt(callee(i, ins))].global:
		b.drop(isa.R0)
		return b.regs[b.frame]&argRegs == 0
	case ins.Src == isa.CallLocal:
		// The callee's arguments are the caller's.
		args := b.regs[b.frame]
		if args&^argRegs != 0 || b.slots[b.frame] != 0 {
			return false
		}
		b.regs[b.frame] = 0
		if !b.leave() {
			return false
		}
		b.regs[b.frame] |= args
		return true
	case c.aux[i].callsCallback && later != i+1:
		// Into a callback: its arguments are not the call's.
		if b.regs[b.frame]&^argRegs != 0 || b.slots[b.frame] != 0 {
			return false
		}
		b.regs[b.frame] = 0
		return b.leave()
	}
	b.drop(isa.R0)
	if b.regs[b.frame]&argRegs != 0 {
		return false
	}
	if ins.IsCall(isa.CallHelper) && ins.Imm == helperTailCall && later != i+1 {
		return b.enter()
	}
	return true
}
