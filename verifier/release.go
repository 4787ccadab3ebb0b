package verifier

// release ends a reference and makes every register unusable that belongs to it, and
// every dynptr and slice of data that was made of it.
func (c *checker) release(id uint32) bool {
	if !c.st.drop(id) {
		return false
	}
	c.invalidateOf(id)
	return true
}

// releaseWhole is release where a reference to a part may still be held, which would
// be lost (release_reference).
func (c *checker) releaseWhole(id uint32) error {
	c.st.drop(id)
	for _, r := range c.st.refs {
		if r.kind == refPtr && r.parent == id {
			return c.fail(CauseReference, "Leaking reference id=%d alloc_insn=%d. Release it first.", r.id, r.insn)
		}
	}
	c.invalidateOf(id)
	return nil
}

// invalidateOf makes unusable what belongs to a reference or dynptr.
func (c *checker) invalidateOf(id uint32) {
	c.st.eachReg(func(_ *frame, r *Reg) {
		if r.RefID == id || r.ParentID == id {
			c.invalidate(r)
		}
	})
	for _, f := range c.st.frames {
		for i := range f.stack {
			s := &f.stack[i]
			if s.kind[0] != slotDynptr || s.reg.RefID != id && s.reg.ID != id {
				continue
			}
			dynptr := s.reg.ID
			*s = slot{}
			if dynptr != id {
				c.invalidateOf(dynptr)
			}
		}
	}
}

// invalidateNonOwning makes pointers into lists and trees unusable, when the lock is
// given up that protects them.
func (c *checker) invalidateNonOwning() {
	c.st.eachReg(func(_ *frame, r *Reg) {
		if r.Flags&NonOwning != 0 {
			c.invalidate(r)
		}
	})
}

// leaveRCU makes pointers untrusted that only an RCU section keeps valid, and iterators
// that began in one.
func (c *checker) leaveRCU() {
	untrust := func(r *Reg) { r.Flags = r.Flags&^(RCU|MaybeNull) | Untrusted }
	c.st.eachReg(func(_ *frame, r *Reg) {
		if r.Flags&RCU != 0 {
			untrust(r)
		}
	})
	for _, f := range c.st.frames {
		for i := range f.stack {
			if s := &f.stack[i]; s.kind[0] == slotIter && s.reg.Flags&RCU != 0 {
				r := *s.reg
				untrust(&r)
				s.reg = &r
			}
		}
	}
}

// isReferenced reports whether a register belongs to a reference that is held
// (reg_is_referenced).
func (c *checker) isReferenced(r *Reg) bool {
	if r.RefID == 0 {
		return false
	}
	for i := range c.st.refs { // a lock's entry may have the same id
		if ref := &c.st.refs[i]; ref.id == r.RefID && ref.kind == refPtr {
			return true
		}
	}
	return false
}

// isTrusted reports whether a register is a pointer to an object that stays valid
// (is_trusted_reg).
func (c *checker) isTrusted(r *Reg) bool {
	const trusting = Alloc | Trusted | NonOwning
	if c.isReferenced(r) {
		return true
	}
	switch r.Type {
	case PtrToSocket, PtrToSockCommon, PtrToTCPSock, ConstPtrToMap:
		return r.Flags&^trusting == 0
	}
	return r.Flags&trusting != 0 && r.Flags&^trusting == 0
}
