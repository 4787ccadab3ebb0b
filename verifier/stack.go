package verifier

import (
	"math"
	"math/bits"

	"github.com/skep-ebpf/skep/isa"
)

// accessStack checks an access to the stack of the running function or of one that
// called it.
func (c *checker) accessStack(a *memAccess) error {
	f, err := c.stackBounds(a.reg, a.n, a.off, a.size, a.write)
	if err != nil {
		return err
	}
	switch fixed := a.reg.fixed(); {
	case fixed && a.write:
		return c.storeSlot(a, f, int(a.reg.minOffset())+a.off)
	case fixed:
		return c.loadSlot(a, f, int(a.reg.minOffset())+a.off)
	case a.write:
		return c.storeSomewhere(a, f)
	case a.value < 0:
		return c.failReg(CauseStackBounds, int(a.n),
			"variable offset stack pointer cannot be passed into helper function; var_off=%s off=%d size=%d", a.reg.offsetBits(), a.off, a.size)
	}
	return c.loadSomewhere(a, f)
}

// stackBounds checks that an access lies within the stack that a register points
// into, makes that reach down to it and gives its frame
// (check_stack_access_within_bounds).
func (c *checker) stackBounds(r *Reg, n uint8, off, size int, write bool) (*frame, error) {
	f := c.st.frames[r.Frame]
	access := " read from"
	if write {
		access = " write to"
	}
	begin, end := r.minOffset(), r.maxOffset()
	if !r.fixed() && (end >= maxVarOff || begin <= -maxVarOff) {
		return nil, c.failReg(CauseUnboundedOffset, int(n), "invalid unbounded variable-offset%s stack R%d", access, n)
	}
	begin += int64(off)
	end += int64(off) + int64(size)
	lowest := int64(-isa.StackSize)
	if !write && size > 0 && !(c.uninitAllowed() && c.since(6, 8)) {
		lowest = int64(-8 * len(f.stack))
	}
	cause := CauseStackBounds
	if begin >= -isa.StackSize && begin < 0 && end <= 0 {
		cause = CauseUninitStack // below what was written so far
	}
	switch {
	case begin >= lowest && begin <= -1 && end <= 0 && size >= 0:
	case r.fixed():
		return nil, c.failReg(cause, int(n), "invalid%s stack R%d off=%d size=%d", access, n, begin, size)
	default:
		return nil, c.failReg(cause, int(n), "invalid variable-offset%s stack R%d var_off=%s off=%d size=%d",
			access, n, r.offsetBits(), off, size)
	}
	if size > 0 || c.since(6, 8) {
		f.grow(int(begin))
	}
	if fn := &c.funcs[f.fn]; fn.stack < 8*len(f.stack) {
		fn.stack = 8 * len(f.stack)
	}
	return f, nil
}

// spillable reports whether the log calls a store of such a register to the stack a
// spill: what it holds is known when it is loaded again.
func spillable(t RegType) bool {
	switch t {
	case NotInit, Scalar, PtrToTPBuffer, ConstPtrToDynptr, PtrToInsn:
		return false
	}
	return true
}

// storeSlot stores at a known offset (check_stack_write_fixed_off).
func (c *checker) storeSlot(a *memAccess, f *frame, off int) error {
	i := slotAt(off)
	s := &f.stack[i]
	if !c.leaks && s.kind[0] == slotSpill && s.reg.Type != Scalar && a.size != 8 {
		return c.fail(CausePointerLeak, "attempt to corrupt spilled pointer on stack")
	}
	var r *Reg
	if a.value >= 0 {
		r = c.reg(uint8(a.value))
	}
	if !c.bypass {
		c.guardStore(s, r, off, a.size)
	}
	if s.kind[0] == slotDynptr {
		if err := c.overwriteDynptr(f, i); err != nil {
			return err
		}
	}
	imm, isImm := c.storedImm(a)
	aligned := off&7 == 0
	switch {
	case r != nil && aligned && r.Type == Scalar && c.capable && c.keepsSpill(r):
		fits := bits.Len64(r.UMax) <= 8*a.size
		if fits && c.since(6, 9) {
			c.link(r)
		}
		spilled := *r
		if !fits {
			spilled.unlink()
		}
		c.spill(s, &spilled, a.size)
	case isImm && aligned && c.capable && (imm != 0 || c.keepsZeros()) && c.since(5, 10):
		var spilled Reg
		spilled.setConst(uint64(imm))
		c.spill(s, &spilled, a.size)
	case r != nil && spillable(r.Type):
		if a.size != 8 {
			return c.failReg(CauseStackBounds, a.value, "invalid size of register spill")
		}
		if r.Type == PtrToStack && f != c.st.cur() {
			return c.failReg(CausePointerLeak, a.value, "cannot spill pointers to stack into stack frame of the caller")
		}
		c.spill(s, r, 8)
	default:
		return c.storeBytes(a, s, off, r)
	}
	c.record(stepStack, a.reg.Frame, uint8(i), 0)
	return nil
}

// keepsSpill reports whether Linux keeps what is known of a number that is spilled.
func (c *checker) keepsSpill(r *Reg) bool {
	return c.since(6, 9) || !r.Value.IsUnknown() && (!r.isZero() || c.keepsZeros())
}

// keepsZeros reports whether Linux tells a spilled 0 from bytes that are 0, and keeps
// those beside a spill.
func (c *checker) keepsZeros() bool { return c.since(6, 8) }

// storedImm gives the immediate that the current instruction stores, where the access
// is that store.
func (c *checker) storedImm(a *memAccess) (imm int32, ok bool) {
	ins := &c.insns[c.insn]
	return ins.Imm, a.value < 0 && ins.Op&7 == isa.ClassST && ins.Op&0xe0 == isa.ModeMEM
}

// isZero reports whether a register holds 0.
func (r *Reg) isZero() bool { return r.isConst() && r.Bits.Value == 0 }

// spill makes a slot hold a register that is stored to its first bytes.
func (c *checker) spill(s *slot, r *Reg, size int) {
	if s.reg == nil || *s.reg != *r {
		s.reg = c.newReg(r)
	}
	for i := range s.kind {
		switch {
		case i < size:
			s.kind[i] = slotSpill
		case s.kind[i] != slotInvalid && (s.kind[i] != slotZero || !c.keepsZeros()):
			s.kind[i] = slotMisc
		}
	}
	s.object = slotObject{}
}

// newReg copies a register to where it stays. Registers on the stack are many and
// short, so they are made by the dozen.
func (c *checker) newReg(r *Reg) *Reg {
	if len(c.spareRegs) == 0 {
		c.spareRegs = make([]Reg, 32)
	}
	p := &c.spareRegs[0]
	c.spareRegs = c.spareRegs[1:]
	*p = *r
	return p
}

// storeBytes stores what is no spill: a part of a slot, or a number of a loader that
// is not capable.
func (c *checker) storeBytes(a *memAccess, s *slot, off int, r *Reg) error {
	s.scrub()
	kind := slotMisc
	imm, isImm := c.storedImm(a)
	if r != nil && r.isZero() || isImm && imm == 0 {
		if a.value >= 0 {
			if err := c.precise(uint8(a.value)); err != nil {
				return err
			}
		}
		kind = slotZero
	}
	for i := range a.size {
		s.kind[off&7+i] = kind
	}
	return nil
}

// scrub makes what a slot holds mere bytes, since some of them are overwritten.
func (s *slot) scrub() {
	switch s.kind[0] {
	case slotSpill, slotDynptr, slotIter, slotIRQFlag:
		s.blur()
	}
	s.reg, s.object = nil, slotObject{}
}

// blur makes the bytes that were stored to some numbers.
func (s *slot) blur() {
	for i := range s.kind {
		if s.kind[i] != slotInvalid {
			s.kind[i] = slotMisc
		}
	}
}

// storeSomewhere stores at an offset of which only bounds are known
// (check_stack_write_var_off): each byte within them may have been overwritten.
func (c *checker) storeSomewhere(a *memAccess, f *frame) error {
	begin, end := int(a.reg.minOffset())+a.off, int(a.reg.maxOffset())+a.off+a.size
	imm, isImm := c.storedImm(a)
	zero := a.value >= 0 && c.reg(uint8(a.value)).isZero() || isImm && imm == 0
	for off := begin; off < end; off++ {
		if i := slotAt(off); f.stack[i].kind[0] == slotDynptr {
			if err := c.overwriteDynptr(f, i); err != nil {
				return err
			}
		}
	}
	zeroUsed := false
	for off := begin; off < end; off++ {
		s := &f.stack[slotAt(off)]
		kind := s.kind[off&7]
		if !c.leaks && kind != slotMisc && kind != slotZero {
			return c.failReg(CausePointerLeak, int(a.n), "spilled ptr in range of var-offset stack write; insn %d, ptr off: %d", c.insn, off)
		}
		if zero && kind == slotSpill && s.reg.isZero() {
			zeroUsed = true
			continue
		}
		s.scrub()
		kind = s.kind[off&7]
		if kind == slotInvalid && !c.readUninit(f, slotAt(off)) { // it may be left as it is
			return c.failReg(CauseUninitStack, int(a.n),
				"uninit stack in range of var-offset write prohibited for !root; insn %d, off: %d", c.insn, off)
		}
		if zero && kind == slotZero {
			zeroUsed = true
			continue
		}
		s.kind[off&7] = slotMisc
	}
	if zeroUsed && a.value >= 0 {
		return c.precise(uint8(a.value))
	}
	return nil
}

// loadSlot loads from a known offset (check_stack_read_fixed_off).
func (c *checker) loadSlot(a *memAccess, f *frame, off int) error {
	i := slotAt(off)
	s := &f.stack[i]
	if s.kind[0] != slotSpill {
		if err := c.written(f, off, a.size); err != nil {
			return err
		}
		if a.value >= 0 {
			c.loadBytes(a, s.all(off, a.size, slotZero))
		}
		return nil
	}
	whole, frame := s.kind[7] == slotSpill && a.size == 8, a.reg.Frame // the load may overwrite a.reg
	switch {
	case whole && a.value >= 0:
		c.fill(a, s)
	case whole:
		if !c.leaks && s.reg.Type != Scalar {
			return c.fail(CausePointerLeak, "leaking pointer from stack off %d", off)
		}
	case s.reg.Type != Scalar:
		return c.fail(CauseStackBounds, "invalid size of register fill")
	case a.value < 0:
		return nil
	default:
		filled, err := c.loadPart(a, f, off)
		if err != nil || !filled {
			return err
		}
	}
	c.record(stepStack, frame, uint8(i), 0)
	return nil
}

// fill loads a spilled register whole.
func (c *checker) fill(a *memAccess, s *slot) {
	c.linkSlot(s)
	*c.reg(uint8(a.value)) = *s.reg
}

// loadPart loads some bytes of a spilled number, or of a slot that holds one besides
// others. It reports whether what is loaded is the number or a part of it.
func (c *checker) loadPart(a *memAccess, f *frame, off int) (filled bool, err error) {
	s := &f.stack[slotAt(off)]
	width := 1
	for width < 8 && s.kind[width] == slotSpill {
		width++
	}
	dst := c.reg(uint8(a.value))
	if off&7 == 0 && (a.size == width || a.size < width && c.since(6, 9)) {
		if a.size == 4 && width == 4 && s.reg.UMax <= math.MaxUint32 {
			c.linkSlot(s)
		}
		*dst = *s.reg
		if bits.Len64(dst.UMax) > 8*a.size {
			dst.unlink()
		}
		return true, nil
	}
	if err := c.written(f, off, a.size); err != nil {
		return false, err
	}
	if s.reg.isZero() && s.all(off, a.size, slotSpill) && c.keepsZeros() {
		dst.setConst(0)
		return true, nil
	}
	c.loadBytes(a, s.all(off, a.size, slotZero))
	return false, nil
}

// loadBytes sets the register that bytes are loaded to which are no register.
func (c *checker) loadBytes(a *memAccess, zero bool) {
	if zero {
		c.reg(uint8(a.value)).setConst(0)
	} else {
		c.setUnknown(uint8(a.value))
	}
}

// all reports whether all bytes of an access within a slot are of a kind.
func (s *slot) all(off, size int, kind slotKind) bool {
	for _, k := range s.kind[off&7 : off&7+size] {
		if k != kind {
			return false
		}
	}
	return true
}

// written demands that something was stored to each byte that is loaded.
func (c *checker) written(f *frame, off, size int) error {
	s := &f.stack[slotAt(off)]
	for i, kind := range s.kind[off&7 : off&7+size] {
		switch {
		case kind == slotMisc || kind == slotZero:
		case kind == slotSpill && s.kind[0] == slotSpill:
		case kind == slotInvalid && c.readUninit(f, slotAt(off)):
		default:
			return c.fail(CauseUninitStack, "invalid read from stack off %d+%d size %d", off, i, size)
		}
	}
	return nil
}

// loadSomewhere loads from an offset of which only bounds are known
// (check_stack_read_var_off).
func (c *checker) loadSomewhere(a *memAccess, f *frame) error {
	if err := c.stackRange(a.reg, a.n, a.off, a.size, false, false); err != nil {
		return err
	}
	zero := true
	for off := int(a.reg.minOffset()) + a.off; off < int(a.reg.maxOffset())+a.off+a.size && zero; off++ {
		zero = f.stack[slotAt(off)].kind[off&7] == slotZero
	}
	c.loadBytes(a, zero)
	return nil
}

// linkSlot is link of a spilled number.
func (c *checker) linkSlot(s *slot) {
	r := s.reg
	if !c.since(6, 9) || !c.capable || r.Type != Scalar || r.ID&idAddConst == 0 && (r.ID != 0 || r.Value.IsConst()) {
		return
	}
	linked := *r
	c.link(&linked)
	s.reg = c.newReg(&linked)
}

// guardStore notes that a processor may go on from a store with what was there before,
// where that was no number of the program's (Spectre v4).
func (c *checker) guardStore(s *slot, r *Reg, off, size int) {
	guard := r != nil && spillable(r.Type)
	for _, kind := range s.kind[off&7 : off&7+size] {
		guard = guard || kind != slotMisc && kind != slotZero
	}
	if guard {
		c.aux[c.insn].nospecResult = true
	}
}
