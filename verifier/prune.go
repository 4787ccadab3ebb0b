package verifier

import (
	"slices"

	"github.com/skep-ebpf/skep/isa"
)

// When a path need not be followed further: where a state was kept from which all
// paths were followed to their ends, and that covers the current one. Which states
// are kept, and for how long, are Linux's heuristics, so that as many instructions
// are looked at as there.

// longHistory is how long a path's history gets before a state is kept.
const longHistory = 40

// maxKept is how many states of one instruction loaders without CAP_BPF may keep
// (BPF_COMPLEXITY_LIMIT_STATES).
const maxKept = 64

// visited reports whether a state kept at c.insn covers the current one, and keeps
// the current one where that pays off. It finds loops that make no progress.
func (c *checker) visited() (covered bool, err error) {
	cur := c.st
	force := c.everyState || c.aux[c.insn].force || len(cur.history) > longHistory
	jumps, insns := c.jumps-c.keptJumps, c.processed-c.keptInsns
	keep := force || jumps >= 2 && insns >= 8
	if c.cleansEarly() {
		c.clean(cur)
	}
	if c.summary != nil {
		tighten(cur)
	}

	b := c.bucketOf(c.insn, cur.cur().callsite)
	n := 0
	for link := &c.kept[b]; *link != nil; n++ {
		old := *link
		if old.insn == c.insn {
			hit, loop, err := c.meet(old, cur)
			if err != nil {
				return false, err
			}
			if hit {
				c.coveredBy(old, loop)
				return true, nil
			}
			// Turns of a loop differ: most states would not be of use later.
			if old.branches > 0 && !force && jumps < 20 && insns < 100 {
				keep = false
			}
			if keep {
				old.misses++
			}
			if c.useless(old) {
				*link = old.older
				c.evict(old)
				continue
			}
		}
		link = &old.older
	}
	if keep && (c.capable || n <= maxKept) {
		if c.summary != nil {
			c.summary.widen(c)
		}
		c.keep(b)
	}
	return false, nil
}

// cleansEarly reports whether states forget on their way what is not read any more.
// Before 7.0 Linux did so only with states all of whose paths were followed.
func (c *checker) cleansEarly() bool { return c.since(7, 0) }

// meet reports whether a kept state covers the current one, and whether that is so
// because of a loop that ends, in which case not all is known yet of what is precise.
func (c *checker) meet(old, cur *state) (hit, loop bool, err error) {
	if old.branches > 0 {
		hit, err = c.turn(old, cur)
		return hit, true, err
	}
	if old.unfinished() {
		return c.equal(old, cur, rangeWithin), true, nil
	}
	if !old.cleaned && !c.cleansEarly() {
		c.clean(old)
		old.cleaned = true
	}
	return c.equal(old, cur, notExact), false, nil
}

// turn compares with a state of the path itself, in a loop: it reports whether the
// loop came to what was seen before and will end nevertheless.
func (c *checker) turn(old, cur *state) (hit bool, err error) {
	aux := &c.aux[c.insn]
	if f := old.cur(); f.async && f.asyncEntries != cur.cur().asyncEntries {
		// Another start of the callback. The old one has not come to its end.
		return false, nil
	}
	switch {
	case c.summary != nil:
		return c.equal(old, cur, rangeWithin), nil
	case aux.iterNext:
		return c.equal(old, cur, rangeWithin) && iterating(cur), nil
	case isMayGoto(&c.insns[c.insn]) && old.mayGotoDepth != cur.mayGotoDepth && c.equal(old, cur, rangeWithin):
		return true, nil
	case aux.callsCallback:
		return c.equal(old, cur, rangeWithin), nil
	}
	if maybeLooping(old, cur) && c.equal(old, cur, exact) && !iterDepthsDiffer(old, cur) &&
		old.mayGotoDepth == cur.mayGotoDepth && old.unrollDepth == cur.unrollDepth {
		return false, c.fail(CauseLoop, "infinite loop detected at insn %d", c.insn)
	}
	return false, nil
}

// coveredBy ends the current path at a state that covers it.
func (c *checker) coveredBy(old *state, loop bool) {
	old.hits++
	if c.watch != nil {
		c.watch.covered(c, old)
	}
	if c.aux[c.insn].jump {
		c.record(0, 0, 0, 0)
	}
	c.noteUninit(old, c.st)
	c.propagatePrecision(old, c.st)
	if loop {
		c.addBackEdge(old, c.st)
	}
}

// useless reports whether a state is not worth comparing with any more. Loops need
// theirs to converge.
func (c *checker) useless(s *state) bool {
	allowed := 3
	if c.aux[c.insn].force && s.branches > 0 {
		allowed = 64
	}
	return s.misses > s.hits*allowed+allowed
}

// keep keeps the current state, which then is the first of a new part of the path.
func (c *checker) keep(bucket int) {
	cur := c.st
	c.result.States++
	c.keptJumps, c.keptInsns = c.jumps, c.processed
	if c.capable {
		for _, f := range cur.frames {
			f.precise, f.preciseSlots = 0, 0
		}
	}
	if c.since(7, 0) {
		c.clearSingleIDs(cur)
	}
	kept := c.clone(cur)
	kept.older = c.kept[bucket]
	c.kept[bucket] = kept
	c.enterLoop(kept)
	if c.watch != nil {
		c.watch.keep(kept)
	}

	cur.parent, cur.first, cur.depth = kept, c.insn, kept.depth+1
	cur.history = cur.history[:0]
}

// evict lets a state go that was of no use.
func (c *checker) evict(s *state) {
	s.evicted = true
	if s.branches == 0 && !s.unfinished() {
		c.recycle(s)
	}
}

// pathDone counts the current path as followed to its end.
func (c *checker) pathDone() {
	for s := c.st; s != nil; {
		if s.branches--; s.branches > 0 {
			break
		}
		c.exitLoop(s)
		parent := s.parent
		if s == c.st || s.evicted && !s.unfinished() {
			c.recycle(s)
		}
		s = parent
	}
}

// bucketOf is where the states are kept that a function has at an instruction when
// called from another. Others may be kept there too.
func (c *checker) bucketOf(insn, callsite int) int {
	return int(uint32(insn^callsite) % uint32(len(c.kept)))
}

// bucket gives the latest of these states.
func (c *checker) bucket(insn, callsite int) *state { return c.kept[c.bucketOf(insn, callsite)] }

// clean forgets of a state what is not read any more.
func (c *checker) clean(s *state) {
	for n, f := range s.frames {
		live := c.aux[c.frameInsn(s, n)].liveRegs
		for i := range isa.R10 {
			if live&(1<<i) == 0 && f.regs[i].Type != NotInit {
				f.regs[i] = Reg{}
			}
		}
		c.cleanStack(s, n)
	}
}

// frameInsn is the instruction that a frame is at: the next one, or a call.
func (c *checker) frameInsn(s *state, n int) int {
	if n+1 == len(s.frames) {
		return s.insn
	}
	return s.frames[n+1].callsite
}

// clearSingleIDs unlinks numbers that no other is linked with.
func (c *checker) clearSingleIDs(s *state) {
	c.idCounts = c.idCounts[:0]
	for _, f := range s.frames {
		for i := range isa.R10 {
			c.countLink(&f.regs[i])
		}
		for i := range f.stack {
			if sl := &f.stack[i]; sl.isSpill() {
				c.countLink(sl.reg)
			}
		}
	}
	if len(c.idCounts) == 0 {
		return
	}
	for _, f := range s.frames {
		for i := range isa.R10 {
			if r := &f.regs[i]; c.single(r) {
				r.unlink()
			}
		}
		for i := range f.stack {
			if sl := &f.stack[i]; sl.isSpill() && c.single(sl.reg) {
				alone := *sl.reg
				alone.unlink()
				sl.reg = &alone
			}
		}
	}
}

// idCount is how many registers share an ID.
type idCount struct {
	id uint32
	n  int
}

// countLink counts a register for its ID.
func (c *checker) countLink(r *Reg) {
	if r.Type != Scalar || r.ID == 0 {
		return
	}
	id := r.ID &^ idAddConst
	for i := range c.idCounts {
		if c.idCounts[i].id == id {
			c.idCounts[i].n++
			return
		}
	}
	c.idCounts = append(c.idCounts, idCount{id, 1})
}

// single reports whether a number's ID was counted once.
func (c *checker) single(r *Reg) bool {
	if r.Type != Scalar || r.ID == 0 {
		return false
	}
	i := slices.IndexFunc(c.idCounts, func(n idCount) bool { return n.id == r.ID&^idAddConst })
	return c.idCounts[i].n == 1
}

// iterating reports whether the iterator that R1 points to has elements left.
func iterating(s *state) bool {
	r := &s.cur().regs[isa.R1]
	if r.Type != PtrToStack || int(r.Frame) >= len(s.frames) {
		return false
	}
	f, i := s.frames[r.Frame], slotAt(int(r.Off)+int(int64(r.Bits.Value)))
	return i >= 0 && i < len(f.stack) && f.stack[i].kind[0] == slotIter && f.stack[i].object.state == iterActive
}

// maybeLooping is a quick look whether two states may be the same.
func maybeLooping(old, cur *state) bool {
	if len(old.frames) != len(cur.frames) {
		return false
	}
	return old.cur().regs == cur.cur().regs
}

// iterDepthsDiffer reports whether an iterator has moved between two states of a
// loop.
func iterDepthsDiffer(old, cur *state) bool {
	for n, f := range old.frames {
		for i := range f.stack {
			sl := &f.stack[i]
			if sl.kind[0] != slotIter || sl.object.state != iterActive {
				continue
			}
			if g := cur.frames[n]; i >= len(g.stack) || g.stack[i].object.depth != sl.object.depth {
				return true
			}
		}
	}
	return false
}
