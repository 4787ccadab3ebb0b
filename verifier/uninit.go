package verifier

// Bytes of the stack that nothing was stored to. An engine zeroes those that may be read.

// uninitAllowed reports whether bytes of the stack may be read that nothing was
// stored to.
func (c *checker) uninitAllowed() bool { return c.leaks && c.uninitReads }

// readUninit is uninitAllowed where such a byte of a frame's slot is read.
func (c *checker) readUninit(f *frame, slot int) bool {
	if !c.uninitAllowed() {
		return false
	}
	c.funcs[f.fn].uninit |= 1 << slot
	return true
}

// noteUninit notes the bytes that a kept state takes to be written and that are not in
// a state that it covers: behind it they are read, perhaps.
func (c *checker) noteUninit(old, cur *state) {
	for n, f := range old.frames {
		g, fn := cur.frames[n], &c.funcs[f.fn]
		for i := range f.stack {
			was := &noSlot
			if i < len(g.stack) {
				was = &g.stack[i]
			}
			for k := range was.kind {
				if was.kind[k] == slotInvalid && f.stack[i].kind[k] != slotInvalid {
					fn.uninit |= 1 << i
				}
			}
		}
	}
}
