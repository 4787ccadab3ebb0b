package amd64

import "github.com/skep-ebpf/skep/vm/jit/ir"

// divide is a division as eBPF has it.
func (e *Emitter) divide(i *ir.Ins) {
	d, x := e.reg(i, i.Dst), e.reg(i, i.A)
	signed := i.Op >= ir.Sdiv
	var y ir.Reg
	var back int32
	if i.B == ir.None {
		imm := narrow(i.Size, i.Imm)
		if imm == 0 || imm == -1 && signed {
			e.divideOdd(i, imm)
			return
		}
		y = r11
		e.constant(y, imm)
	} else if y = e.reg(i, i.B); i.Flag&ir.NonZero == 0 {
		back = e.label()
		e.rr(opTest, i.Size, y, y)
		e.point(pointCond, e.later(coldByZero, i, back), ccE)
		if signed {
			e.group1(dCmp, i.Size, y, -1)
			e.point(pointCond, e.later(coldByMinusOne, i, back), ccE)
		}
	}
	digit := ir.Reg(dDiv)
	if signed {
		digit = dIdiv
	}
	e.wide(digit, i, d, x, y)
	if back != 0 {
		e.place(back)
	}
}

// divideOdd is a division by 0 or, if it is signed, by -1.
func (e *Emitter) divideOdd(i *ir.Ins, by int64) {
	d, x := e.reg(i, i.Dst), e.reg(i, i.A)
	modulo := i.Op == ir.Mod || i.Op == ir.Smod
	switch {
	case modulo == (by != 0):
		e.constant(d, 0)
	case modulo:
		e.mov(i.Size, d, x)
	default:
		e.mov(i.Size, d, x)
		e.rr(opGroup3, i.Size, dNeg, d)
	}
}

// wide is an operation of group 3 that works on RDX and RAX: d = x by y. Those of them
// that d is not get their values back.
func (e *Emitter) wide(digit ir.Reg, i *ir.Ins, d, x, y ir.Reg) {
	used := ir.RegSet(1<<rax | 1<<rdx | 1<<d | 1<<x | 1<<y)
	result := rax
	if i.Op == ir.Mod || i.Op == ir.Smod || i.Op == ir.MulHi {
		result = rdx
	}
	var kept [2]ir.Reg // what RAX and RDX had
	for k, r := range [...]ir.Reg{rax, rdx} {
		if d == r && y != r {
			continue
		}
		kept[k] = e.temp(&used)
		e.mov(8, kept[k], r)
		if y == r {
			y = kept[k]
		}
	}
	if x != rax {
		e.mov(8, rax, x)
	}
	switch digit {
	case dDiv:
		e.constant(rdx, 0)
	case dIdiv:
		e.head(0x99, i.Size, 0, 0, 0, false) // cdq or cqo: the sign of RAX
	}
	e.rr(opGroup3, i.Size, digit, y)
	e.mov(8, d, result)
	if d != rax {
		e.mov(8, rax, kept[0])
	}
	if d != rdx {
		e.mov(8, rdx, kept[1])
	}
	e.giveBack()
}

// mulHi is the upper half of a product.
func (e *Emitter) mulHi(i *ir.Ins) {
	d, x := e.reg(i, i.Dst), e.reg(i, i.A)
	if i.B == ir.None {
		e.mulHiImm(i, d, x)
		return
	}
	y := e.reg(i, i.B)
	if !e.opts.BMI2 {
		e.wide(dMul, i, d, x, y)
		return
	}
	// mulx multiplies with RDX, and may put the halves anywhere.
	if x == rdx {
		x, y = y, x
	}
	if y == rdx || d == rdx {
		e.mov(8, rdx, y)
		e.mulx(d, x)
		return
	}
	used := ir.RegSet(1<<rdx | 1<<d | 1<<x | 1<<y)
	kept := e.temp(&used)
	e.mov(8, kept, rdx)
	e.mov(8, rdx, y)
	e.mulx(d, x)
	e.mov(8, rdx, kept)
	e.giveBack()
}

// mulHiImm is that with a number.
func (e *Emitter) mulHiImm(i *ir.Ins, d, x ir.Reg) {
	if !e.opts.BMI2 {
		e.constant(r11, i.Imm)
		e.wide(dMul, i, d, x, r11)
		return
	}
	if d != rdx || x == rdx {
		e.mov(8, r11, rdx)
	}
	if x == rdx {
		x = r11
	}
	e.constant(rdx, i.Imm)
	e.mulx(d, x)
	if d != rdx {
		e.mov(8, rdx, r11)
	}
}

// mulx puts the upper half of RDX times x into d.
func (e *Emitter) mulx(d, x ir.Reg) { e.vex(map38, vexF2, 0xf6, 8, d, d, x) }
