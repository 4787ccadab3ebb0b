package verifier

import (
	"math"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/verifier/scalar"
)

// maxOffset bounds what may be added to a pointer (BPF_MAX_VAR_OFF).
const maxOffset = 1 << 29

// offset adds a number to a pointer or subtracts it. The pointer is the destination
// register, or the source, when the number is in the destination.
func (c *checker) offset(ins *isa.Instruction, ptr *Reg, off *scalar.Value) error {
	dst := c.reg(ins.Dst)
	if off.IsEmpty() || off.IsConst() && (off.SMin != off.SMax || off.UMin != off.UMax) {
		dst.setUnknown()
		return nil
	}
	op := ins.Op & 0xf0
	if is32(ins) {
		if op == isa.AluSUB && c.leaks {
			dst.setUnknown()
			return nil
		}
		return c.failArith(ins, "R%d 32-bit pointer arithmetic prohibited", ins.Dst)
	}
	if ptr.maybeNull() {
		return c.failReg(CauseMaybeNull, int(ins.Dst),
			"R%d pointer arithmetic on %s prohibited, null-check it first", ins.Dst, ptr.typeName())
	}
	if !mayOffset(ptr, op, off) {
		return c.failArith(ins, "R%d pointer arithmetic on %s prohibited", ins.Dst, ptr.typeName())
	}
	isDst := dst == ptr
	anywhere := ptr.is(PtrToMem, Untrusted) // loads through it cannot fault
	if !isDst && (!anywhere || c.since(7, 2)) {
		*dst = *ptr
	}
	if anywhere {
		return nil
	}
	if err := c.saneOffset(ins, dst, off); err != nil {
		return err
	}
	var g guard
	if op == isa.AluADD || op == isa.AluSUB {
		if err := c.guardPointer(ins, &g, dst, off, isDst); err != nil {
			return err
		}
	}
	switch {
	case op == isa.AluADD:
		c.addTo(dst, off)
	case op != isa.AluSUB:
		return c.failOperator(ins, op)
	case !isDst:
		return c.failArith(ins, "R%d tried to subtract pointer from scalar", ins.Dst)
	case dst.Type == PtrToStack:
		return c.failArith(ins, "R%d subtraction from stack pointer prohibited", ins.Dst)
	default:
		c.subtractFrom(dst, off)
	}
	if err := c.sanePointer(ins, dst); err != nil {
		return err
	}
	return c.guardResult(ins, &g, dst, off)
}

// mayOffset reports whether arithmetic is allowed on a kind of pointer.
func mayOffset(ptr *Reg, op uint8, off *scalar.Value) bool {
	switch ptr.Type {
	case PtrToCtx, PtrToMapValue, PtrToMapKey, PtrToStack, PtrToPacketMeta, PtrToPacket,
		PtrToTPBuffer, PtrToBTF, PtrToMem, PtrToBuf, PtrToFunc, ConstPtrToDynptr:
		return true
	case PtrToFlowKeys:
		return off.IsConst()
	case ConstPtrToMap:
		return off.IsConst() && off.UMax == 0 && op == isa.AluADD
	}
	return false
}

// failOperator refuses what is neither addition nor subtraction.
func (c *checker) failOperator(ins *isa.Instruction, op uint8) error {
	switch op {
	case isa.AluAND, isa.AluOR, isa.AluXOR:
		return c.failArith(ins, "R%d bitwise operator %s on pointer prohibited", ins.Dst, aluText[op>>4])
	}
	return c.failArith(ins, "R%d pointer arithmetic with %s operator prohibited", ins.Dst, aluText[op>>4])
}

func (c *checker) failArith(ins *isa.Instruction, format string, args ...any) error {
	return c.failReg(CausePointerArithmetic, int(ins.Dst), format, args...)
}

// addTo adds a number to a pointer.
func (c *checker) addTo(ptr *Reg, off *scalar.Value) {
	if off.IsConst() {
		ptr.Off += int32(off.SMin)
	} else {
		ptr.ForgetLow() // of pointers it is not kept
		ptr.Value.Op(c.rules, isa.AluADD, false, off)
	}
	if ptr.isPacket() {
		c.movePacket(ptr, off, true)
	}
}

// subtractFrom subtracts a number from a pointer.
func (c *checker) subtractFrom(ptr *Reg, off *scalar.Value) {
	if off.IsConst() {
		ptr.Off -= int32(off.SMin)
	} else {
		ptr.ForgetLow()
		ptr.Value.Op(c.rules, isa.AluSUB, false, off)
	}
	if ptr.isPacket() {
		c.movePacket(ptr, off, off.SMin < 0)
	}
}

// movePacket makes a packet pointer one of its own when it was moved by what is not
// known. forward tells that it may have moved towards the end.
func (c *checker) movePacket(ptr *Reg, off *scalar.Value, forward bool) {
	if !off.IsConst() {
		ptr.ID = c.newID()
		if forward {
			ptr.Range = 0
		}
	}
	if ptr.Range < 0 && c.since(7, 2) {
		ptr.Range = 0 // what was beyond the end may be inside again
	}
}

// saneOffset refuses numbers so large that an access could wrap around, before they
// are added to a pointer, and pointers that are that far off already.
func (c *checker) saneOffset(ins *isa.Instruction, ptr *Reg, off *scalar.Value) error {
	fail := func(format string, args ...any) error {
		return c.failReg(CauseUnboundedOffset, int(ins.Dst), format, args...)
	}
	switch v := off.SMin; {
	case off.IsConst() && (v >= maxOffset || v <= -maxOffset):
		return fail("math between %s pointer and %d is not allowed", ptr.typeName(), v)
	case v == math.MinInt64:
		return fail("math between %s pointer and register with unbounded min value is not allowed", ptr.typeName())
	case v >= maxOffset || v <= -maxOffset:
		return fail("value %d makes %s pointer be out of bounds", v, ptr.typeName())
	}
	return c.sanePointer(ins, ptr)
}

// saneDelta refuses a number that is linked to another at a large distance. Linux before
// 7.2 keeps that where a pointer has its offset.
func (c *checker) saneDelta(ins *isa.Instruction, ptr, off *Reg) error {
	if d := off.Delta; (d >= maxOffset || d <= -maxOffset) && !c.since(7, 2) {
		return c.failReg(CauseUnboundedOffset, int(ins.Dst), "%s pointer offset %d is not allowed", ptr.typeName(), d)
	}
	return nil
}

// sanePointer refuses pointers that are too far from their object.
func (c *checker) sanePointer(ins *isa.Instruction, ptr *Reg) error {
	off := ptr.SMin
	if off > -maxOffset {
		off += int64(ptr.Off)
	}
	if off >= maxOffset || off <= -maxOffset {
		return c.failReg(CauseUnboundedOffset, int(ins.Dst), "%s pointer offset %d is not allowed", ptr.typeName(), off)
	}
	return nil
}
