package verifier

// Whether a kept state covers another: whatever is true of all that the other
// stands for is true of what the kept one stands for, as far as it matters.

// exactness is how much of two states must be the same.
type exactness uint8

const (
	notExact    exactness = iota // numbers that are not precise do not matter
	exact                        // everything
	rangeWithin                  // numbers must be within those of the kept state
)

// idMap pairs the ids of two states. Ids have no meaning but which registers share
// them.
type idMap struct {
	pairs [][2]uint32
	spare uint32 // the last id that stands for a number without one
	// alone says that numbers that were not linked must not be linked now, as Linux
	// had it before 6.17.
	alone bool
}

// same reports whether two ids are paired, or neither is there.
func (m *idMap) same(old, cur uint32) bool {
	if old == 0 || cur == 0 {
		return old == cur
	}
	for i := range m.pairs {
		switch p := &m.pairs[i]; {
		case p[0] == old:
			return p[1] == cur
		case p[1] == cur:
			return false
		}
	}
	m.pairs = append(m.pairs, [2]uint32{old, cur})
	return true
}

// sameLinks is same for numbers: one that was not linked may be linked now, which
// tells more of it.
func (m *idMap) sameLinks(old, cur uint32) bool {
	if old == 0 {
		if !m.alone {
			return true
		}
		m.spare++
		old = m.spare
	}
	if cur == 0 {
		m.spare++
		cur = m.spare
	}
	return m.same(old, cur) && (old&idAddConst == 0 || m.same(old&^idAddConst, cur&^idAddConst))
}

// equal reports whether a kept state covers the current one.
func (c *checker) equal(old, cur *state, how exactness) bool {
	if len(old.frames) != len(cur.frames) || old.speculative && !cur.speculative || old.sleepable != cur.sleepable {
		return false
	}
	m := &c.idMap
	m.pairs, m.spare, m.alone = m.pairs[:0], c.ids, !c.since(6, 17)
	if !m.sameRefs(old, cur) {
		return false
	}
	for n, f := range old.frames {
		g := cur.frames[n]
		if f.callsite != g.callsite || !c.equalFrames(f, g, c.aux[c.frameInsn(old, n)].liveRegs, how) {
			return false
		}
		if !c.equalStacks(f, g, c.sameKinds(old, how), how) {
			return false
		}
	}
	return true
}

// sameRefs reports whether two states hold the same.
func (m *idMap) sameRefs(old, cur *state) bool {
	if len(old.refs) != len(cur.refs) || old.locks != cur.locks || old.preempt != cur.preempt || old.rcu != cur.rcu ||
		old.lockIn != cur.lockIn || !m.same(old.irqID, cur.irqID) || !m.same(old.lockID, cur.lockID) {
		return false
	}
	for i := range old.refs {
		a, b := &old.refs[i], &cur.refs[i]
		if a.kind != b.kind || !m.same(a.id, b.id) || a.lock != b.lock {
			return false
		}
	}
	return true
}

func (c *checker) equalFrames(old, cur *frame, live uint16, how exactness) bool {
	if old.callbackDepth > cur.callbackDepth {
		return false
	}
	precise := old.precise
	if c.allPrecise() {
		precise = allRegs
	}
	for i := range old.regs {
		if live&(1<<i) != 0 && !c.covers(&old.regs[i], &cur.regs[i], precise>>i&1 != 0, how) {
			return false
		}
	}
	return true
}

// sameKinds reports whether bytes of the stack must be of the same kinds: in loops,
// before Linux 7.0.
func (c *checker) sameKinds(old *state, how exactness) bool {
	return how == exact || how == rangeWithin && old.branches > 0 && !c.since(7, 0)
}

func (c *checker) equalStacks(old, cur *frame, sameKinds bool, how exactness) bool {
	precise := old.preciseSlots
	if c.allPrecise() {
		precise = ^uint64(0)
	}
	for i := range old.stack {
		a, b, missing := &old.stack[i], &noSlot, i >= len(cur.stack)
		if !missing {
			b = &cur.stack[i]
		}
		if sameKinds && a.kind != b.kind || missing && !c.ignores(a) {
			return false
		}
		if !missing && !c.coversSlot(a, b, precise>>i&1 != 0, how) {
			return false
		}
	}
	return true
}

// noSlot is a slot that nothing was stored to.
var noSlot slot

// covers reports whether what was found safe with one register is safe with the
// other (regsafe).
func (c *checker) covers(old, cur *Reg, precise bool, how exactness) bool {
	if how == exact {
		return sameButIDs(old, cur) && c.sameIDs(old, cur)
	}
	if old.Type == NotInit {
		return true
	}
	if old.Type != cur.Type || old.Flags != cur.Flags {
		return false
	}
	m := &c.idMap
	switch old.Type {
	case Scalar:
		return c.coversNumber(old, cur, precise, how)
	case PtrToMapKey, PtrToMapValue, PtrToMem, PtrToBuf, PtrToTPBuffer:
		return sameObject(old, cur) && within(old, cur) && c.sameIDs(old, cur)
	case PtrToInsn:
		return sameObject(old, cur) && within(old, cur)
	case PtrToPacket, PtrToPacketMeta:
		if (old.Range < 0 || cur.Range < 0) && old.Range != cur.Range || old.Range > cur.Range {
			return false
		}
		return old.Off == cur.Off && m.same(old.ID, cur.ID) && within(old, cur)
	case PtrToArena:
		return true
	}
	return sameButIDs(old, cur) && c.sameIDs(old, cur)
}

// coversNumber is covers of numbers.
func (c *checker) coversNumber(old, cur *Reg, precise bool, how exactness) bool {
	if c.aluLimits {
		return old.Value == cur.Value && old.Delta == cur.Delta && c.idMap.sameLinks(old.ID, cur.ID)
	}
	if !precise && how == notExact && !c.everyNumber {
		return true
	}
	if old.ID != 0 && (old.ID&idAddConst != cur.ID&idAddConst || old.ID&idAddConst != 0 && old.Delta != cur.Delta) {
		return false
	}
	return c.idMap.sameLinks(old.ID, cur.ID) && within(old, cur)
}

// within reports whether the numbers of one register are all among the other's.
func within(old, cur *Reg) bool { return cur.Value.Within(&old.Value) }

// sameObject reports whether two pointers are into objects of the same kind, with
// the same fixed offset.
func sameObject(a, b *Reg) bool {
	return a.Off == b.Off && a.Map == b.Map && a.MapUID == b.MapUID && a.Size == b.Size && a.BTF == b.BTF
}

// sameButIDs reports whether all but the ids is the same.
func sameButIDs(a, b *Reg) bool {
	return a.Value == b.Value && a.Type == b.Type && a.Flags == b.Flags && a.Frame == b.Frame &&
		a.Range == b.Range && a.Delta == b.Delta && sameObject(a, b)
}

func (c *checker) sameIDs(a, b *Reg) bool {
	if a.ParentID != b.ParentID && !c.since(7, 2) {
		return false // Linux took the ids of dynptrs for what they are
	}
	m := &c.idMap
	return m.same(a.ID, b.ID) && m.same(a.RefID, b.RefID) && m.same(a.ParentID, b.ParentID)
}

// ignores reports whether nothing in a slot matters.
func (c *checker) ignores(s *slot) bool {
	for _, k := range s.kind {
		if k != slotInvalid && (k != slotMisc || !c.bypass) {
			return false
		}
	}
	return true
}

// number gives what a load of a slot's bytes up to one yields where that is a number
// for sure, or nil.
func (c *checker) number(s *slot, last int) *Reg {
	if s.kind[last] == slotSpill && s.reg.Type == Scalar {
		return s.reg
	}
	for _, k := range s.kind[:last+1] {
		if k != slotMisc && (k != slotInvalid || !c.bypass) {
			return nil
		}
	}
	return &unknownReg
}

// coversSlot is covers of 8 bytes of the stack (stacksafe).
func (c *checker) coversSlot(old, cur *slot, precise bool, how exactness) bool {
	for i := 7; i >= 0; i-- {
		a, b := old.kind[i], cur.kind[i]
		if a == slotInvalid || a == slotMisc && c.bypass {
			continue
		}
		if i == 7 || i == 3 && c.since(7, 0) {
			// Spilled numbers and bytes of which nothing is known are read alike.
			r, s := c.number(old, i), c.number(cur, i)
			if r != nil && s != nil {
				return c.covers(r, s, precise && r != &unknownReg, how)
			}
		}
		if a == slotMisc && b == slotZero {
			continue
		}
		if a != b {
			return false
		}
	}
	return c.coversObject(old, cur, precise, how)
}

// coversObject is coversSlot for what slots of the same kinds hold.
func (c *checker) coversObject(old, cur *slot, precise bool, how exactness) bool {
	if old.kind[0] != cur.kind[0] {
		return true // compared byte by byte
	}
	m, a, b := &c.idMap, old.reg, cur.reg
	switch old.kind[0] {
	case slotSpill:
		return c.covers(a, b, precise, how)
	case slotDynptr:
		return a.Flags&anyDynptr == b.Flags&anyDynptr && old.object.first == cur.object.first && c.sameIDs(a, b)
	case slotIter:
		// How often it was asked does not matter, or loops would never end; nor did the
		// end of an RCU section, before Linux 7.2.
		return (a.Flags == b.Flags || !c.since(7, 2)) && a.BTF == b.BTF && old.object.state == cur.object.state && c.sameIDs(a, b)
	case slotIRQFlag:
		return old.object.class == cur.object.class && m.same(a.ID, b.ID) && m.same(a.RefID, b.RefID)
	}
	return true
}
