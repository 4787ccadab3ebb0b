package verifier

// Loops that end for other reasons than a counter (iterators, may_goto, callbacks)
// are followed until a state comes back that one of an earlier turn covers. Numbers
// that no safety depended on so far are widened to any number between turns, so that
// this happens.

// prevEntry finds the state of an earlier turn through an instruction, on the path
// to s: the latest one that is still being followed (find_prev_entry).
func (c *checker) prevEntry(s *state, insn int) *state {
	for e := c.bucket(insn, c.st.cur().callsite); e != nil; e = e.older {
		if e.insn == insn && e.branches > 0 && e.depth < s.depth && sameCallsites(e, s) {
			return e
		}
	}
	return nil
}

func sameCallsites(a, b *state) bool {
	if len(a.frames) != len(b.frames) {
		return false
	}
	for i := range a.frames {
		if a.frames[i].callsite != b.frames[i].callsite {
			return false
		}
	}
	return true
}

// widen makes those numbers of a state any number that differ from those of an
// earlier turn and on which nothing depended so far (widen_imprecise_scalars).
func (c *checker) widen(old, s *state) {
	c.idMap.pairs = c.idMap.pairs[:0]
	for n, fold := range old.frames {
		f := s.frames[n]
		for i := range f.regs {
			if c.widens(&fold.regs[i], &f.regs[i], fold.precise>>i|f.precise>>i) {
				f.regs[i].setUnknown()
			}
		}
		for i := range min(len(f.stack), len(fold.stack)) {
			a, b := &fold.stack[i], &f.stack[i]
			if a.isSpill() && b.isSpill() && c.widens(a.reg, b.reg, uint16(fold.preciseSlots>>i|f.preciseSlots>>i)) {
				b.reg = &unknownReg
			}
		}
	}
}

// widens reports whether a number is to be widened. Before 7.0 one that is linked in
// another way is, too.
func (c *checker) widens(old, r *Reg, precise uint16) bool {
	return old.Type == Scalar && r.Type == Scalar && precise&1 == 0 &&
		(!sameButIDs(old, r) || !c.since(7, 0) && !c.idMap.same(old.ID, r.ID))
}

// unknownReg is a number of which nothing is known.
var unknownReg = Reg{Type: Scalar, Value: unknown}

// callchain tells a loop that is entered by different ways apart: the calls that
// lead to the outermost loop that a state is in, and that loop.
type callchain struct {
	callsites [8]int32
	loop      int32
}

// visit is one stay in a loop. While paths through the loop are still followed, it
// is not yet known what safety depends on in its states. A state that an unfinished
// one covers is kept as a back edge; at the end, what is precise in the one is made
// precise in the other, until nothing changes.
type visit struct {
	entry     *state // the state that entered the loop; nil: it is left
	backEdges []*state
}

// chain gives the callchain of a state; false outside loops.
func (c *checker) chain(s *state) (callchain, bool) {
	var k callchain
	for i := range s.frames {
		insn := s.insn
		if i+1 < len(s.frames) {
			insn = s.frames[i+1].callsite
		}
		if k.loop = c.aux[insn].loop; k.loop != 0 {
			return k, true
		}
		k.callsites[i] = int32(insn)
	}
	return k, false
}

// enterLoop notes the visit that a state about to be kept belongs to.
func (c *checker) enterLoop(s *state) {
	k, ok := c.chain(s)
	if !ok {
		return
	}
	v := c.visits[k]
	if v == nil {
		v = new(visit)
		c.visits[k] = v
	}
	if v.entry == nil {
		v.entry = s
	}
	s.visit = v
}

// addBackEdge keeps a state that one of an unfinished loop covers.
func (c *checker) addBackEdge(old, s *state) {
	if old.visit == nil {
		return
	}
	e := c.clone(s)
	e.equal = old
	old.visit.backEdges = append(old.visit.backEdges, e)
}

// maxBackEdgeRounds is MAX_BACKEDGE_ITERS.
const maxBackEdgeRounds = 64

// exitLoop ends the visit that a state began, all of whose paths were followed.
func (c *checker) exitLoop(s *state) {
	v := s.visit
	if v == nil || v.entry != s {
		return
	}
	v.entry = nil
	for round, changed := 0, true; changed; round++ {
		if round > maxBackEdgeRounds {
			for _, e := range v.backEdges {
				markAllPrecise(e)
			}
			break
		}
		changed = false
		for _, e := range v.backEdges {
			c.bt.changed = false
			c.propagatePrecision(e.equal, e)
			changed = changed || c.bt.changed
		}
	}
	for _, e := range v.backEdges {
		c.recycle(e)
	}
	v.backEdges = v.backEdges[:0]
}

// unfinished reports whether precision is still to come to a kept state from the
// back edges of its loop.
func (s *state) unfinished() bool { return s.visit != nil && len(s.visit.backEdges) > 0 }
