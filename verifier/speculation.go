package verifier

import (
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/verifier/scalar"
)

// A processor may go on along a path that is not taken, and leave traces of what it
// reads there. For loaders without CAP_PERFMON, such paths are followed too, and
// Linux masks what is added to pointers so that they stay within their object even
// there. That works where all paths need the same mask.

// guard is how an addition to a pointer is masked (alu_state and alu_limit).
type guard struct {
	kind  uint8
	limit uint32
}

// Kinds of guards; 0: none yet.
const (
	guardNumber    = 1 << iota // no pointer is involved
	guardNegative              // the number is negative
	guardImmediate             // and known
	guardSrc                   // the number is in the source register
	guardDst                   // or in the destination
)

const notForUnprivileged = "pointer arithmetic with it prohibited for !root"

// unguarded reports whether an instruction needs no guard.
func (c *checker) unguarded(ins *isa.Instruction) bool {
	return c.bypass || !usesSource(ins) || c.aux[c.insn].nospec
}

// agree notes a guard, unless one of another path differs.
func (g *guard) agree(with guard) bool {
	if g.kind != 0 && *g != with {
		return false
	}
	*g = with
	return true
}

// guardNumbers refuses an instruction that adds numbers here, and a number to a
// pointer on another path.
func (c *checker) guardNumbers(ins *isa.Instruction) error {
	if c.unguarded(ins) || c.aux[c.insn].guard.agree(guard{kind: guardNumber}) {
		return nil
	}
	return c.failPaths(ins)
}

func (c *checker) failPaths(ins *isa.Instruction) error {
	return c.failArith(ins, "R%d tried to %s from different maps, paths or scalars, %s", ins.Dst, verb(ins), notForUnprivileged)
}

func verb(ins *isa.Instruction) string {
	if ins.Op&0xf0 == isa.AluADD {
		return "add"
	}
	return "sub"
}

// guardPointer finds how to mask what is about to be added to ptr, and puts the path
// aside on which the mask made it 0. isDst tells that the destination register held
// the pointer.
func (c *checker) guardPointer(ins *isa.Instruction, g *guard, ptr *Reg, off *scalar.Value, isDst bool) error {
	if c.unguarded(ins) {
		return nil
	}
	number, pointer := ins.Dst, ins.Src
	if isDst {
		number, pointer = pointer, number
	}
	if !c.st.speculative {
		if !off.IsConst() && (off.SMin < 0) != (off.SMax < 0) {
			return c.failArith(ins, "R%d has unknown scalar with mixed signed bounds, %s", number, notForUnprivileged)
		}
		limit, err := c.guardLimit(ins, ptr, off, pointer)
		if err != nil {
			return err
		}
		g.limit, g.kind = limit, guardDst
		if isDst {
			g.kind = guardSrc
		}
		if off.SMin < 0 {
			g.kind |= guardNegative
		}
		if off.IsConst() {
			g.kind |= guardImmediate
		} else {
			c.aluLimits = true
		}
	}
	if off.IsConst() {
		return nil
	}
	_, err := c.push(c.insn+1, true)
	return err
}

// guardResult demands that the pointer is within its object after the addition, and
// notes the mask.
func (c *checker) guardResult(ins *isa.Instruction, g *guard, ptr *Reg, off *scalar.Value) error {
	if c.bypass {
		return nil
	}
	if err := c.staysWithin(ins, ptr); err != nil {
		return err
	}
	if c.unguarded(ins) || c.st.speculative {
		return nil
	}
	limit, err := c.guardLimit(ins, ptr, off, ins.Dst)
	if err != nil {
		return err
	}
	moved := int32(g.limit - limit)
	final := guard{kind: g.kind, limit: uint32(max(moved, -moved))}
	if !c.aux[c.insn].guard.agree(final) {
		return c.failPaths(ins)
	}
	return nil
}

// guardLimit is how far the pointer, in register n, may be from where its object
// begins, as the mask limits it.
func (c *checker) guardLimit(ins *isa.Instruction, ptr *Reg, off *scalar.Value, n uint8) (uint32, error) {
	left := (off.SMin < 0) == (ins.Op&0xf0 == isa.AluADD)
	var size, limit uint32
	switch {
	case ptr.Type == PtrToStack && ptr.Flags == 0:
		size = isa.StackSize
		if left { // the frame pointer itself lies behind the stack
			size++
		}
		limit = uint32(-(int64(ptr.Bits.Value) + int64(ptr.Off)))
	case ptr.Type == PtrToMapValue && ptr.Flags == 0:
		size = ptr.Map.ValueSize
		if left {
			limit = uint32(ptr.SMin + int64(ptr.Off))
		} else {
			limit = uint32(ptr.UMax + uint64(int64(ptr.Off)))
		}
	default:
		return 0, c.failReg(CausePointerArithmetic, int(n), "R%d has pointer with unsupported alu operation, %s", n, notForUnprivileged)
	}
	if limit >= size {
		return 0, c.failArith(ins, "R%d tried to %s beyond pointer bounds, %s", ins.Dst, verb(ins), notForUnprivileged)
	}
	return limit, nil
}

// staysWithin demands that a pointer to the stack or a map value is within it, so that
// accesses can be masked.
func (c *checker) staysWithin(ins *isa.Instruction, ptr *Reg) error {
	n := int(ins.Dst)
	switch ptr.Type {
	case PtrToStack:
		off := int(ptr.Bits.Value) + int(ptr.Off)
		if !ptr.Value.IsConst() {
			return c.failReg(CauseStackBounds, n, "R%d variable stack access prohibited for !root, var_off=%s off=%d", n, ptr.offsetBits(), off)
		}
		if off >= 0 || off < -isa.StackSize {
			return c.failReg(CauseStackBounds, n, "R%d stack pointer arithmetic goes out of range, prohibited for !root; off=%d", n, off)
		}
	case PtrToMapValue:
		lo, hi := ptr.SMin+int64(ptr.Off), ptr.UMax
		if lo < 0 || hi >= maxOffset || int64(hi)+int64(ptr.Off)+1 > int64(ptr.Map.ValueSize) {
			return c.failReg(CauseBounds, n, "R%d pointer arithmetic of map value goes out of range, prohibited for !root", n)
		}
	}
	return nil
}

// mispredict puts the path aside that a processor may take where a jump's outcome is
// known. Nothing is known there of what the jump compares.
func (c *checker) mispredict(ins *isa.Instruction, to int) error {
	if c.bypass {
		return nil
	}
	s, err := c.push(to, true)
	if err != nil {
		return err
	}
	regs := &s.cur().regs
	regs[ins.Dst].setUnknown()
	if usesSource(ins) {
		regs[ins.Src].setUnknown()
	}
	return nil
}
