package verifier

import (
	"math"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/verifier/scalar"
)

// alu looks at an arithmetic instruction of 32 or 64 bits.
func (c *checker) alu(ins *isa.Instruction) error {
	if isForm(ins) && !c.since(6, 9) { // which has all of them
		if err := c.supported(ins); err != nil {
			return err
		}
	}
	switch ins.Op & 0xf0 {
	case isa.AluEND, isa.AluNEG:
		return c.unary(ins)
	case isa.AluMOV:
		return c.move(ins)
	}
	return c.binary(ins)
}

// is32 reports whether an arithmetic instruction is of 32 bits.
func is32(ins *isa.Instruction) bool { return ins.Op&7 == isa.ClassALU }

// usesSource reports whether the second operand is a register.
func usesSource(ins *isa.Instruction) bool { return ins.Op&isa.SrcX != 0 }

// unary looks at a negation or byte swap.
func (c *checker) unary(ins *isa.Instruction) error {
	if err := c.read(ins.Dst); err != nil {
		return err
	}
	if c.isPointer(ins.Dst) {
		return c.failReg(CausePointerArithmetic, int(ins.Dst), "R%d pointer arithmetic prohibited", ins.Dst)
	}
	if err := c.write(ins.Dst); err != nil {
		return err
	}
	dst := c.reg(ins.Dst)
	swap := ins.Op&0xf0 == isa.AluEND
	switch {
	case dst.Type != Scalar, swap && !c.since(6, 18), !c.since(6, 17):
		dst.setUnknown()
	case swap:
		c.swapBytes(ins, dst)
	default:
		dst.unlink()
		c.apply(&dst.Value, ins, &dst.Value)
	}
	return nil
}

// swapBytes computes a conversion between byte orders, on a little-endian machine.
func (c *checker) swapBytes(ins *isa.Instruction, dst *Reg) {
	size := int(ins.Imm) / 8
	switch swaps := !is32(ins) || usesSource(ins); {
	case swaps:
		dst.unlink()
		dst.ByteSwap(c.rules, size)
	case size < 8:
		dst.unlink()
		dst.Truncate(c.rules, size)
	}
}

// apply computes an operation on numbers: v op= w.
func (c *checker) apply(v *scalar.Value, ins *isa.Instruction, w *scalar.Value) {
	if is32(ins) {
		v.Op32(c.rules, ins.Op&0xf0, ins.Off == 1, w)
	} else {
		v.Op(c.rules, ins.Op&0xf0, ins.Off == 1, w)
	}
}

// move looks at a MOV: of a constant or register, with sign extension, or a cast
// between an arena's address spaces.
func (c *checker) move(ins *isa.Instruction) error {
	if !usesSource(ins) {
		if err := c.write(ins.Dst); err != nil {
			return err
		}
		v := uint64(int64(ins.Imm))
		if is32(ins) {
			v = uint64(uint32(ins.Imm))
		}
		c.reg(ins.Dst).setConst(v)
		return nil
	}
	cast := !is32(ins) && ins.Off == 1
	if cast && !c.hasArena() {
		return c.fail(CauseMap, "addr_space_cast insn can only be used in a program that has an associated arena")
	}
	if err := c.read(ins.Src); err != nil {
		return err
	}
	if err := c.write(ins.Dst); err != nil {
		return err
	}
	switch {
	case cast:
		dst := c.reg(ins.Dst)
		dst.setUnknown()
		if ins.Imm == 1 { // from the program's address space 1 to the kernel's 0
			dst.Type = PtrToArena
		}
		return nil
	case is32(ins):
		return c.move32(ins)
	case ins.Off != 0:
		return c.moveSigned(ins)
	}
	src := c.reg(ins.Src)
	c.link(src)
	*c.reg(ins.Dst) = *src
	return nil
}

// move32 copies the lower half of a register, with sign extension where Off is not 0.
func (c *checker) move32(ins *isa.Instruction) error {
	src, dst := c.reg(ins.Src), c.reg(ins.Dst)
	if src.Type != Scalar {
		if !c.leaks {
			return c.failReg(CausePointerLeak, int(ins.Src), "R%d partial copy of pointer", ins.Src)
		}
		dst.setUnknown()
		dst.ZeroExtend(c.rules)
		return nil
	}
	if ins.Off == 0 {
		c.copyNumber(dst, src, src.UMax <= math.MaxUint32 && c.since(6, 5))
		dst.ZeroExtend(c.rules)
		return nil
	}
	c.copyNumber(dst, src, src.UMax < 1<<(ins.Off-1))
	dst.SignExtend32(c.rules, int(ins.Off)/8)
	return nil
}

// moveSigned copies the lower part of a register as a signed number.
func (c *checker) moveSigned(ins *isa.Instruction) error {
	src, dst := c.reg(ins.Src), c.reg(ins.Dst)
	if src.Type != Scalar {
		if !c.leaks {
			return c.failReg(CausePointerLeak, int(ins.Src), "R%d sign-extension part of pointer", ins.Src)
		}
		dst.setUnknown()
		return nil
	}
	c.copyNumber(dst, src, src.UMax < 1<<(ins.Off-1))
	dst.SignExtend(c.rules, int(ins.Off)/8)
	return nil
}

// copyNumber copies a number, of which the caller then takes a part. Where that
// part is the same number, both are linked.
func (c *checker) copyNumber(dst, src *Reg, same bool) {
	if same {
		c.link(src)
		*dst = *src
		return
	}
	*dst = *src
	dst.unlink()
}

// hasArena reports whether the program uses an arena.
func (c *checker) hasArena() bool {
	return slices.ContainsFunc(c.maps, func(m *Map) bool { return m.Type == ebpf.Arena })
}

// binary looks at an operation on a register and a register or constant.
func (c *checker) binary(ins *isa.Instruction) error {
	if usesSource(ins) {
		if err := c.read(ins.Src); err != nil {
			return err
		}
	}
	if err := c.read(ins.Dst); err != nil {
		return err
	}
	if err := c.checkOperand(ins); err != nil {
		return err
	}
	if err := c.write(ins.Dst); err != nil {
		return err
	}
	dst := c.reg(ins.Dst)
	if !usesSource(ins) {
		k := scalar.Const(uint64(int64(ins.Imm)))
		if dst.Type == PtrToArena {
			return nil
		}
		if dst.Type != Scalar {
			return c.offset(ins, dst, &k)
		}
		return c.arith(ins, &k)
	}
	src := c.reg(ins.Src)
	switch {
	case dst.Type == PtrToArena:
		return nil // what comes out is taken modulo the arena
	case src.Type == PtrToArena:
		*dst = *src
		return nil
	case dst.Type == Scalar && src.Type == Scalar:
		return c.arith(ins, &src.Value)
	case dst.Type == Scalar:
		if err := c.precise(ins.Dst); err != nil {
			return err
		}
		if err := c.saneDelta(ins, src, dst); err != nil {
			return err
		}
		off := dst.Value
		return c.offset(ins, src, &off)
	case src.Type == Scalar:
		if err := c.precise(ins.Src); err != nil {
			return err
		}
		if err := c.saneDelta(ins, dst, src); err != nil {
			return err
		}
		return c.offset(ins, dst, &src.Value)
	case ins.Op&0xf0 == isa.AluSUB && c.leaks:
		dst.setUnknown()
		return nil
	}
	return c.failReg(CausePointerArithmetic, int(ins.Dst), "R%d pointer %s pointer prohibited", ins.Dst, aluText[ins.Op>>4])
}

// aluText are the operators as Linux's log writes them.
var aluText = [16]string{
	isa.AluADD >> 4: "+=", isa.AluSUB >> 4: "-=", isa.AluMUL >> 4: "*=", isa.AluDIV >> 4: "/=",
	isa.AluOR >> 4: "|=", isa.AluAND >> 4: "&=", isa.AluLSH >> 4: "<<=", isa.AluRSH >> 4: ">>=",
	isa.AluMOD >> 4: "%=", isa.AluXOR >> 4: "^=", isa.AluARSH >> 4: "s>>=",
}

// checkOperand refuses constants by which nothing can be divided or shifted.
func (c *checker) checkOperand(ins *isa.Instruction) error {
	if usesSource(ins) {
		return nil
	}
	switch ins.Op & 0xf0 {
	case isa.AluDIV, isa.AluMOD:
		if ins.Imm == 0 {
			return c.fail(CauseInstruction, "div by zero")
		}
	case isa.AluLSH, isa.AluRSH, isa.AluARSH:
		width := int32(64)
		if is32(ins) {
			width = 32
		}
		if ins.Imm < 0 || ins.Imm >= width {
			return c.fail(CauseInstruction, "invalid shift %d", ins.Imm)
		}
	}
	return nil
}

// arith computes an operation on two numbers.
func (c *checker) arith(ins *isa.Instruction, w *scalar.Value) error {
	dst := c.reg(ins.Dst)
	op := ins.Op & 0xf0
	switch op {
	case isa.AluADD, isa.AluSUB:
		if err := c.guardNumbers(ins); err != nil {
			return err
		}
		wasUMax, by := dst.UMax, *w
		c.apply(&dst.Value, ins, w)
		c.linkSum(ins, dst, wasUMax, &by)
		return nil
	case isa.AluAND, isa.AluOR:
		if err := c.forkMask(ins, w); err != nil {
			return err
		}
	case isa.AluDIV, isa.AluMOD:
		if !c.since(7, 0) {
			dst.setUnknown()
			return nil
		}
	}
	c.apply(&dst.Value, ins, w)
	dst.unlink()
	return nil
}

// forkMask follows the two cases of their own in which a number that is 0 or -1 is
// masked with a constant: compilers make such numbers of conditions.
func (c *checker) forkMask(ins *isa.Instruction, w *scalar.Value) error {
	dst := c.reg(ins.Dst)
	narrow := dst.S32Min == -1 && dst.S32Max == 0
	wide := dst.SMin == -1 && dst.SMax == 0
	if !w.IsConst() || !narrow && !wide || !c.since(6, 18) {
		return nil
	}
	zero, err := c.push(c.insn, false)
	if err != nil {
		return err
	}
	if wide {
		zero.cur().regs[ins.Dst].setConst(0)
		dst.setConst(math.MaxUint64)
		return nil
	}
	zero.cur().regs[ins.Dst].SetLow(0)
	dst.SetLow(math.MaxUint32)
	return nil
}
