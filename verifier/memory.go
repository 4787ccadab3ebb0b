package verifier

// memory checks that a call may read or write size bytes where a register points to
// (check_helper_mem_access).
func (c *checker) memory(n uint8, size int, write, zeroOK bool) error {
	r := c.reg(n)
	switch r.Type {
	case PtrToPacket, PtrToPacketMeta:
		return c.packetRange(r, n, 0, size, zeroOK)
	case PtrToMapKey:
		if write {
			return c.writesReadonly(r, n)
		}
		return c.region(r, n, 0, size, int64(r.Map.KeySize), false)
	case PtrToMapValue:
		if err := c.mapAllows(r, 0, size, write); err != nil {
			return err
		}
		return c.valueRange(r, n, 0, size, zeroOK, false)
	case PtrToMem:
		if write && r.Flags&Readonly != 0 {
			return c.writesReadonly(r, n)
		}
		return c.region(r, n, 0, size, int64(r.Size), zeroOK)
	case PtrToBuf:
		if write && r.Flags&Readonly != 0 {
			return c.writesReadonly(r, n)
		}
		return c.buffer(r, n, 0)
	case PtrToStack:
		// Linux took calls that only read for such as write until 6.14.
		return c.stackRange(r, n, 0, size, write || !c.since(6, 14), zeroOK)
	case PtrToBTF:
		return c.accessBTF(&memAccess{reg: r, n: n, size: size, write: write, value: -1})
	case PtrToCtx:
		if c.anyContextOffset() {
			c.result.Context = max(c.result.Context, int(min(r.maxOffset(), maxSyscallCtx))+size)
			return c.region(r, n, 0, size, maxSyscallCtx, zeroOK)
		}
	}
	if zeroOK && size == 0 && r.isZero() {
		return nil
	}
	cause := CauseArgument
	if r.maybeNull() {
		cause = CauseMaybeNull
	}
	return c.failReg(cause, int(n), "R%d type=%s expected=%s", n, r.typeName(), typeName(PtrToStack, 0))
}

// memoryUninit is memory for calls that only write: bytes of the stack that nothing was
// stored to are fine. It reports whether the caller must mark the bytes as written, by
// access to each, when all arguments have been checked (meta.raw_mode, meta.access_size).
func (c *checker) memoryUninit(n uint8, size int, zeroOK bool) (unwritten bool, err error) {
	r := c.reg(n)
	if r.Type != PtrToStack || !r.fixed() {
		return false, c.memory(n, size, true, zeroOK)
	}
	if size == 0 && !zeroOK {
		return false, c.failReg(CauseArgument, int(n), "invalid zero-sized read")
	}
	f, err := c.stackBounds(r, n, 0, size, true)
	if err != nil {
		return false, err
	}
	for off := int(r.minOffset()); off < int(r.minOffset())+size; off++ {
		if f.stack[slotAt(off)].kind[off&7] == slotDynptr {
			return false, c.failReg(CauseDynptr, int(n), "potential write to dynptr at off=%d disallowed", off)
		}
	}
	return true, nil
}

// stackRange checks an access of bytes of the stack that are no register to the one
// who accesses: a call, or a load whose offset varies
// (check_stack_range_initialized). What may be overwritten is forgotten.
func (c *checker) stackRange(r *Reg, n uint8, off, size int, write, zeroOK bool) error {
	if size == 0 && !zeroOK {
		return c.failReg(CauseArgument, int(n), "invalid zero-sized read")
	}
	reached := -8 * len(c.st.frames[r.Frame].stack)
	f, err := c.stackBounds(r, n, off, size, write)
	if err != nil {
		return err
	}
	if !r.fixed() && !c.bypass {
		return c.failReg(CausePrivilege, int(n), "R%d variable offset stack access prohibited for !root, var_off=%s", n, r.offsetBits())
	}
	begin, end := int(r.minOffset())+off, int(r.maxOffset())+off+size
	if begin < reached && size > 0 && !c.since(6, 8) {
		return c.failReg(CauseUninitStack, int(n), "invalid read from stack R%d off %d+0 size %d", n, begin, size)
	}
	for at := begin; at < end; at++ {
		s := &f.stack[slotAt(at)]
		switch kind := s.kind[at&7]; {
		case kind == slotMisc:
		case kind == slotZero, kind == slotInvalid && c.readUninit(f, slotAt(at)):
			if write {
				s.kind[at&7] = slotMisc
			}
		case s.kind[0] == slotSpill && (s.reg.Type == Scalar || c.leaks):
			if write {
				s.scrub()
			}
		case r.fixed():
			return c.failReg(CauseUninitStack, int(n), "invalid read from stack R%d off %d+%d size %d", n, begin, at-begin, size)
		default:
			return c.failReg(CauseUninitStack, int(n), "invalid read from stack R%d var_off %s+%d size %d", n, r.offsetBits(), at-begin, size)
		}
	}
	return nil
}
