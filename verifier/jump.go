package verifier

import (
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/verifier/scalar"
)

// jumpIf looks at a conditional jump or may_goto: it follows one side and puts the other aside,
// with what the comparison tells in each.
func (c *checker) jumpIf(ins *isa.Instruction) error {
	if ins.Op&0xf0 == isa.JmpJCOND {
		return c.mayGoto(ins)
	}
	if err := c.read(ins.Dst); err != nil {
		return err
	}
	dst := c.reg(ins.Dst)
	if !usesSource(ins) {
		k := Reg{Type: Scalar, Value: scalar.Const(uint64(int64(ins.Imm)))}
		if dst.Type == PtrToStack {
			c.record(stepDstStack, 0, 0, 0)
		}
		return c.compare(ins, dst, &k)
	}
	if err := c.read(ins.Src); err != nil {
		return err
	}
	src := c.reg(ins.Src)
	if !(dst.inPacket() && src.inPacket()) && c.isPointer(ins.Src) {
		return c.failComparison(ins.Src)
	}
	var flags uint8
	if src.Type == PtrToStack {
		flags |= stepSrcStack
	}
	if dst.Type == PtrToStack {
		flags |= stepDstStack
	}
	if flags != 0 {
		c.record(flags, 0, 0, 0)
	}
	return c.compare(ins, dst, src)
}

func (c *checker) failComparison(n uint8) error {
	return c.failReg(CausePointerLeak, int(n), "R%d pointer comparison prohibited", n)
}

// inPacket reports whether the register points into a packet, its metadata or to its
// end.
func (r *Reg) inPacket() bool { return r.isPacket() || r.Type == PtrToPacketEnd }

// sides are the two operands of a comparison, as they are where it holds and where it
// does not.
type sides struct {
	dst, src       scalar.Value // where it holds
	notDst, notSrc scalar.Value
}

// compare follows the sides of a comparison that can be taken.
func (c *checker) compare(ins *isa.Instruction, dst, src *Reg) error {
	linked := c.linkedOperands(ins, dst, src)
	var s sides
	target := c.insn + 1 + int(ins.Off)
	switch outcome := c.outcome(ins, dst, src, &s); outcome {
	case scalar.Always, scalar.Never:
		if err := c.preciseOperands(ins, dst, src); err != nil {
			return err
		}
		if outcome == scalar.Never {
			return c.mispredict(ins, target)
		}
		if err := c.mispredict(ins, c.insn+1); err != nil {
			return err
		}
		c.insn = target
		return errJumped
	}
	if linked.count() > 1 { // before the states part, for both
		c.record(0, 0, 0, linked)
	}
	taken, err := c.push(target, false)
	if err != nil {
		return err
	}
	regs := &taken.cur().regs
	if dst.Type == Scalar && src.Type == Scalar {
		dst.Value, src.Value = s.notDst, s.notSrc
		regs[ins.Dst].Value = s.dst
		if usesSource(ins) {
			regs[ins.Src].Value = s.src
			c.spread(c.st, src, linked)
			c.spread(taken, &regs[ins.Src], linked)
		}
		c.spread(c.st, dst, linked)
		c.spread(taken, &regs[ins.Dst], linked)
		return nil
	}
	if ins.Op&7 == isa.ClassJMP32 {
		return c.comparable(ins)
	}
	return c.branchPointers(ins, dst, src, taken)
}

// linkedOperands finds the registers that learn from a comparison.
func (c *checker) linkedOperands(ins *isa.Instruction, dst, src *Reg) linkedRegs {
	var linked linkedRegs
	if usesSource(ins) && src.Type == Scalar && src.ID != 0 {
		c.linkedTo(src.ID, &linked)
	}
	if dst.Type == Scalar && dst.ID != 0 {
		c.linkedTo(dst.ID, &linked)
	}
	return linked
}

// preciseOperands notes that a jump's outcome depended on the numbers compared.
func (c *checker) preciseOperands(ins *isa.Instruction, dst, src *Reg) error {
	if dst.Type == Scalar {
		if err := c.precise(ins.Dst); err != nil {
			return err
		}
	}
	if usesSource(ins) && src.Type == Scalar {
		return c.precise(ins.Src)
	}
	return nil
}

// outcome tells which side of a comparison can be taken. Of numbers, s gets what they
// are on each side if both can be.
func (c *checker) outcome(ins *isa.Instruction, dst, src *Reg, s *sides) scalar.Outcome {
	op, narrow := ins.Op&0xf0, ins.Op&7 == isa.ClassJMP32
	switch {
	case dst.Type != Scalar || src.Type != Scalar:
		if narrow && (c.since(7, 2) || dst.inPacket() && src.inPacket()) {
			return scalar.Maybe // the lower half of an address may well be 0
		}
		return c.pointerOutcome(op, dst, src)
	case dst == src && c.since(7, 0):
		if o := dst.CompareSelf(op, narrow); o != scalar.Maybe {
			return o
		}
	default:
		if o := dst.Compare(c.rules, op, narrow, &src.Value); o != scalar.Maybe {
			return o
		}
	}
	*s = sides{dst.Value, src.Value, dst.Value, src.Value}
	if dst == src {
		scalar.RefineSelf(c.rules, op, narrow, false, &s.notDst)
		scalar.RefineSelf(c.rules, op, narrow, true, &s.dst)
		s.notSrc, s.src = s.notDst, s.dst
	} else {
		scalar.Refine(c.rules, op, narrow, false, &s.notDst, &s.notSrc)
		scalar.Refine(c.rules, op, narrow, true, &s.dst, &s.src)
	}
	if c.since(7, 1) {
		switch { // a side that leaves no number cannot be taken
		case s.notDst.IsEmpty() || s.notSrc.IsEmpty():
			return scalar.Always
		case s.dst.IsEmpty() || s.src.IsEmpty():
			return scalar.Never
		}
	}
	if !c.since(6, 8) {
		return scalar.Maybe // and goes on with no number at all
	}
	for _, v := range [...]*scalar.Value{&s.dst, &s.src, &s.notDst, &s.notSrc} {
		if v.IsEmpty() {
			v.ForgetRanges()
		}
	}
	return scalar.Maybe
}

// pointerOutcome tells which side of a comparison with a pointer can be taken.
func (c *checker) pointerOutcome(op uint8, dst, src *Reg) scalar.Outcome {
	if dst.inPacket() && src.inPacket() {
		return packetOutcome(op, dst, src)
	}
	if !src.isConst() && c.since(6, 8) {
		dst, src = src, dst
	}
	if !src.isConst() || src.UMax != 0 || !c.notNull(dst) {
		return scalar.Maybe
	}
	switch op {
	case isa.JmpJEQ:
		return scalar.Never
	case isa.JmpJNE:
		return scalar.Always
	}
	return scalar.Maybe
}

// notNull reports whether a register is a pointer that is known not to be NULL
// (reg_not_null).
func (c *checker) notNull(r *Reg) bool {
	if r.maybeNull() {
		return false
	}
	if c.since(7, 2) && r.isFarOff() {
		return false // it may have wrapped around to 0
	}
	switch r.Type {
	case PtrToSocket, PtrToTCPSock, PtrToSockCommon, PtrToMapValue, PtrToMapKey, ConstPtrToMap:
		return true
	case PtrToXDPSock, PtrToBuf:
		return c.since(7, 2)
	case PtrToBTF:
		return c.isTrusted(r)
	case PtrToMem:
		return r.Flags&Untrusted == 0
	}
	return false
}

// isFarOff reports whether a pointer's offset is as large as none that is added to one
// may be.
func (r *Reg) isFarOff() bool {
	lo, hi, off := r.SMin, r.SMax, int64(r.Off)
	return lo <= -maxOffset || hi >= maxOffset || lo+off <= -maxOffset || hi+off >= maxOffset
}

// comparable refuses comparisons of addresses that this loader must not see.
func (c *checker) comparable(ins *isa.Instruction) error {
	if c.isPointer(ins.Dst) {
		return c.failComparison(ins.Dst)
	}
	return nil
}

// branchPointers learns from a 64-bit comparison in which there is a pointer: whether
// it is NULL, or how much of the packet there is.
func (c *checker) branchPointers(ins *isa.Instruction, dst, src *Reg, taken *state) error {
	op := ins.Op & 0xf0
	equal := op == isa.JmpJEQ
	if (equal || op == isa.JmpJNE) && usesSource(ins) && src.Type != Scalar && dst.Type != Scalar {
		regs := &c.st.cur().regs
		if equal {
			regs = &taken.cur().regs
		}
		c.equalPointers(ins, dst, src, regs)
	}
	if (equal || op == isa.JmpJNE) && dst.maybeNull() && src.isConst() && src.UMax == 0 &&
		(!usesSource(ins) || c.since(7, 2)) {
		if usesSource(ins) {
			if err := c.precise(ins.Src); err != nil {
				return err
			}
		}
		c.st.nullChecked(ins.Dst, !equal)
		taken.nullChecked(ins.Dst, equal)
		return nil
	}
	if usesSource(ins) && comparePacket(op, ins, c.st, taken) {
		return nil
	}
	return c.comparable(ins)
}

// equalPointers learns, where two pointers are equal, that one is not NULL because the
// other is not. regs are those of that side. Pointers to the kernel's objects may be
// NULL though they are not marked so.
func (c *checker) equalPointers(ins *isa.Instruction, dst, src *Reg, regs *[11]Reg) {
	if dst.Type == PtrToBTF || src.Type == PtrToBTF || !c.since(6, 2) {
		return
	}
	dstOK, srcOK := c.notNull(dst), c.notNull(src)
	if !c.since(7, 2) {
		dstOK, srcOK = !dst.maybeNull(), !src.maybeNull()
	}
	if dstOK && src.maybeNull() {
		regs[ins.Src].setNotNull()
	}
	if srcOK && dst.maybeNull() {
		regs[ins.Dst].setNotNull()
	}
}

// mayGoto follows a may_goto as taken, and puts the path aside that goes on for
// another turn of its loop.
func (c *checker) mayGoto(ins *isa.Instruction) error {
	var prev *state
	if c.st.parent != nil {
		prev = c.prevEntry(c.st.parent, c.insn)
	}
	on, err := c.push(c.insn+1, false)
	if err != nil {
		return err
	}
	on.mayGotoDepth++
	if prev != nil {
		c.widen(prev, on)
	}
	c.insn += 1 + int(ins.Off)
	return errJumped
}
