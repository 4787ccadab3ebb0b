package verifier

import "github.com/skep-ebpf/skep/verifier/scalar"

// A dynptr on the stack takes two slots. Both share a Reg that describes it: Flags
// is its kind, ID tells it from others, RefID is the reference that it holds or that
// the object it was made of holds. Slices of its data have its ID as their ParentID.

const dynptrSize = 16

// dynptrNames are the kinds of dynptrs as Linux's log names them.
var dynptrNames = map[RegFlags]string{
	DynptrLocal: "local", DynptrRingbuf: "ringbuf", DynptrSKB: "skb", DynptrXDP: "xdp",
	DynptrSKBMeta: "skb_meta", DynptrFile: "file",
}

// dynptrHoldsRef are the kinds that must be given back.
const dynptrHoldsRef = DynptrRingbuf | DynptrFile

// stackObject finds the slot in which an object on the stack begins that a register
// points to, and takes slots slots. what names the object: "dynptr". ok is false where
// the stack was not written as far.
func (c *checker) stackObject(n uint8, what string, slots int) (spi int, ok bool, err error) {
	r := c.reg(n)
	if !r.Value.IsConst() {
		return 0, false, c.failReg(c.stackCause(what), int(n), "%s has to be at a constant offset", what)
	}
	off := int(r.Off) + int(int64(r.Value.Bits.Value))
	if off >= 0 || off%8 != 0 || slotAt(off)+1 < slots {
		return 0, false, c.failReg(c.stackCause(what), int(n), "cannot pass in %s at an offset=%d", what, off)
	}
	spi = slotAt(off)
	return spi, spi < len(c.st.frames[r.Frame].stack), nil
}

// stackCause is the cause of refusing an object on the stack.
func (c *checker) stackCause(what string) Cause {
	switch what {
	case "dynptr":
		return CauseDynptr
	case "iter":
		return CauseIterator
	}
	return CauseRCU
}

// clearObject makes slots unreadable that held an object, from the first on.
func clearObject(f *frame, spi, slots int) {
	for i := range slots {
		f.stack[spi-i] = slot{}
	}
}

// isDynptrArg demands that a register may be a dynptr as an argument.
func (c *checker) isDynptrArg(n uint8) error {
	if r := c.reg(n); r.Type != PtrToStack && r.Type != ConstPtrToDynptr || r.Flags != 0 && r.Type == PtrToStack {
		return c.failReg(CauseDynptr, int(n), "R%d expected pointer to stack or const struct bpf_dynptr", n)
	}
	return nil
}

// newDynptr makes a dynptr of a kind where register n points to. ref is the reference
// of the object that it is made of; 0: that has none.
func (c *checker) newDynptr(n uint8, kind RegFlags, ref uint32) error {
	spi, err := c.placeDynptr(n)
	if err != nil {
		return err
	}
	if kind&dynptrHoldsRef != 0 {
		parent := ref
		ref = c.acquire(refPtr)
		c.st.findRef(ref).parent = parent
	}
	c.markDynptr(c.st.frames[c.reg(n).Frame], spi, kind, ref)
	return nil
}

// cloneDynptr makes a copy of a dynptr where register n points to.
func (c *checker) cloneDynptr(n uint8, of *Reg) error {
	spi, err := c.placeDynptr(n)
	if err != nil {
		return err
	}
	c.markDynptr(c.st.frames[c.reg(n).Frame], spi, of.Flags&anyDynptr, of.RefID)
	return nil
}

// placeDynptr checks that register n points to room for a dynptr on the stack, and ends
// those that it takes the place of.
func (c *checker) placeDynptr(n uint8) (spi int, err error) {
	if err := c.isDynptrArg(n); err != nil {
		return 0, err
	}
	r := c.reg(n)
	if r.Type == ConstPtrToDynptr {
		return 0, c.failReg(CauseDynptr, int(n), "Dynptr has to be an uninitialized dynptr")
	}
	if spi, _, err = c.stackObject(n, "dynptr", 2); err != nil {
		return 0, err
	}
	for off := 0; off < dynptrSize; off += 8 {
		if err := c.access(r, n, off, 8, true, -1); err != nil {
			return 0, err
		}
	}
	f := c.st.frames[r.Frame]
	for _, at := range []int{spi, spi - 1} {
		if err := c.overwriteDynptr(f, at); err != nil {
			return 0, err
		}
	}
	return spi, nil
}

func (c *checker) markDynptr(f *frame, spi int, kind RegFlags, ref uint32) {
	r := &Reg{Type: ConstPtrToDynptr, Flags: kind, Value: scalar.Const(0), ID: c.newID(), RefID: ref}
	for i := range 2 {
		f.stack[spi-i] = slot{
			kind:   [8]slotKind{slotDynptr, slotDynptr, slotDynptr, slotDynptr, slotDynptr, slotDynptr, slotDynptr, slotDynptr},
			reg:    r,
			object: slotObject{first: i == 0},
		}
	}
}

// dynptrArg gives what describes the dynptr that register n points to. kind is what is
// wanted; 0: any.
func (c *checker) dynptrArg(n uint8, kind RegFlags) (*Reg, error) {
	if err := c.isDynptrArg(n); err != nil {
		return nil, err
	}
	r := c.reg(n)
	if r.Type == PtrToStack {
		spi, ok, err := c.stackObject(n, "dynptr", 2)
		if err != nil {
			return nil, err
		}
		f := c.st.frames[r.Frame]
		if !ok || f.stack[spi].kind[0] != slotDynptr || !f.stack[spi].object.first {
			return nil, c.failReg(CauseDynptr, int(n), "Expected an initialized dynptr as R%d", n)
		}
		r = f.stack[spi].reg
	}
	if kind != 0 && r.Flags&kind == 0 {
		return nil, c.failReg(CauseDynptr, int(n), "Expected a dynptr of type %s as R%d", dynptrNames[kind], n)
	}
	return r, nil
}

// releaseDynptr ends the dynptr that register n points to: one that holds a reference
// with all its copies.
func (c *checker) releaseDynptr(n uint8, kind RegFlags) error {
	if c.reg(n).Type == ConstPtrToDynptr {
		return c.failReg(CauseDynptr, int(n), "CONST_PTR_TO_DYNPTR cannot be released")
	}
	r, err := c.dynptrArg(n, kind)
	if err != nil {
		return err
	}
	if r.Flags&dynptrHoldsRef != 0 {
		return c.releaseWhole(r.RefID)
	}
	c.invalidateOf(r.ID)
	return nil
}

// setDynptr makes a register a dynptr that a callback or global function is given.
func (c *checker) setDynptr(r *Reg, kind RegFlags) {
	*r = Reg{Type: ConstPtrToDynptr, Flags: kind, Value: scalar.Const(0), ID: c.newID()}
}

// overwriteDynptr ends the dynptr that a slot is part of, when a store hits it;
// one that holds a reference may not be overwritten (destroy_if_dynptr_stack_slot).
func (c *checker) overwriteDynptr(f *frame, slot int) error {
	if slot >= len(f.stack) || f.stack[slot].kind[0] != slotDynptr {
		return nil
	}
	r := f.stack[slot].reg
	if r.Flags&dynptrHoldsRef != 0 && (!c.since(7, 2) || c.dynptrCopies(r.RefID) <= 1) {
		return c.fail(CauseDynptr, "cannot overwrite referenced dynptr")
	}
	if !c.since(7, 2) {
		c.keepSlices(r.ID)
	}
	c.invalidateOf(r.ID)
	return nil
}

// keepSlices has slices of a dynptr outlive it. Before 7.2 Linux looked for memory of no
// kind only, which is what bpf_dynptr_data gives; what a slice leads to is still there.
func (c *checker) keepSlices(id uint32) {
	c.st.eachReg(func(_ *frame, r *Reg) {
		if r.ParentID == id && r.Flags&anyDynptr != 0 {
			r.ParentID = 0
		}
	})
}

// dynptrCopies counts the dynptrs that share a reference.
func (c *checker) dynptrCopies(ref uint32) int {
	n := 0
	for _, f := range c.st.frames {
		for i := range f.stack {
			s := &f.stack[i]
			if s.kind[0] == slotDynptr && s.object.first && s.reg.RefID == ref {
				n++
			}
		}
	}
	return n
}
