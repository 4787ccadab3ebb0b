package ir

import "math/bits"

// operation simplifies an operation of two operands.
func (d *folder) operation(i *Ins) {
	i.A, i.B = d.source(i.A, i.Size), d.source(i.B, i.Size)
	a, b := d.now[i.A].known, constant(i.Imm)
	if i.B != None {
		b = d.now[i.B].known
		if a.isNumber() && !b.isNumber() && commutes(i.Op) {
			i.A, i.B, a, b = i.B, i.A, b, a
		}
		if n := wordOf(b.off, i.Size); b.isNumber() && (fits(n) || isDivision(i.Op)) {
			i.B, i.Imm = None, n
		}
	}
	switch {
	case a.isNumber() && b.isNumber():
		d.define(i, constant(int64(calculate(i.Op, i.Size, uint64(a.off), uint64(b.off)))))
		return
	case i.B == None:
		d.withNumber(i, a)
	case i.A == i.B:
		d.withItself(i, a)
	default:
		d.withOther(i, a, b)
	}
}

func commutes(op Op) bool {
	switch op {
	case Add, Mul, And, Or, Xor, MulHi:
		return true
	}
	return false
}

// same writes an operation as what it leaves of A: all, or the lower half.
func (d *folder) same(i *Ins) {
	i.become(Mov, i.Size, i.A, 0)
	d.conversion(i)
}

// withItself is an operation whose operands are the same.
func (d *folder) withItself(i *Ins, a known) {
	switch i.Op {
	case Sub, Xor:
		d.define(i, constant(0))
	case And, Or:
		d.same(i)
	default:
		d.result(i, possible(i.Op, i.Size, a.may, a.may, false))
	}
}

// withOther is an operation on two variables.
func (d *folder) withOther(i *Ins, a, b known) {
	if i.Op == Add && i.Size == 8 && (a.base == Frame || b.base == Frame) {
		if b.base == Frame {
			i.A, i.B, a = i.B, i.A, b
		}
		if fits(a.off) {
			i.Op, i.A, i.N, i.Off = Lea, Frame, 0, int32(a.off)
			d.now.unknown(i.Dst, ^uint64(0))
			return
		}
	}
	may := possible(i.Op, i.Size, a.may, b.may, false)
	switch {
	case i.Size == 4 || a.may>>32 != 0 || b.may>>32 != 0:
	case may>>32 == 0 && shortens(i.Op), i.Op == Div, i.Op == Mod:
		i.Size = 4
	}
	d.result(i, may)
}

// shortens reports whether an operation gives the same with 4 bytes as with 8, if neither
// operands nor result have more.
func shortens(op Op) bool {
	switch op {
	case Add, Mul, And, Or, Xor:
		return true
	}
	return false
}

// withNumber is an operation on a variable and a number.
func (d *folder) withNumber(i *Ins, a known) {
	if i.Op == Sub && i.Imm != -1<<63 {
		i.Op, i.Imm = Add, wordOf(-i.Imm, i.Size)
	}
	switch i.Op {
	case Add:
		if i.Size == 8 {
			d.offset(i)
			return
		}
	case Mul, Div, Mod, Sdiv, Smod:
		d.factor(i, a)
	case Shl, Shr, Sar, Rol:
		i.Imm &= int64(8*i.Size - 1)
		if i.Op == Sar && a.may&ones(i.Size)>>(8*i.Size-1) == 0 {
			i.Op = Shr
		}
	}
	n := uint64(i.Imm) & ones(i.Size)
	may := possible(i.Op, i.Size, a.may, n, true)
	switch {
	case may == 0:
		d.define(i, constant(0))
		return
	case i.unchanged(a.may, n):
		d.same(i)
		return
	case i.Op == And && i.maskWidth(n):
		i.Size = 8
		d.conversion(i)
		return
	case i.Size == 4:
	case i.Op == And && n>>31 == 0,
		a.may>>32 == 0 && may>>32 == 0 && n>>32 == 0 && (shortens(i.Op) || i.Op == Shl || i.Op == Shr && n < 32 || i.Op == Div || i.Op == Mod):
		i.Size, i.Imm = 4, wordOf(i.Imm, 4)
	}
	if i.Op == Div || i.Op == Mod {
		i.N = 0
		if i.Size == 8 || a.may>>32 == 0 {
			i.N = uint8(bits.Len64(a.may))
		}
	}
	d.now.unknown(i.Dst, may)
}

// offset is Add of a number: the difference to what A was made from is kept.
func (d *folder) offset(i *Ins) {
	k := d.copied(i.A)
	k.off += i.Imm
	k.may = possible(Add, 8, d.now[i.A].known.may, uint64(i.Imm), true)
	if k.isVar() && !fits(k.off) {
		k.base, k.off = i.A, i.Imm
	}
	d.define(i, k)
}

// unchanged reports whether an operation with the number n leaves its operand, of
// which no other bits than those of may are set, as it is but for its size.
func (i *Ins) unchanged(may, n uint64) bool {
	switch i.Op {
	case Add, Or, Xor, Shl, Shr, Sar, Rol:
		return n == 0
	case Mul, Div, Sdiv:
		return n == 1
	case And:
		return may&ones(i.Size)&^n == 0
	case Mod, Smod:
		return n == 0
	}
	return false
}

// maskWidth makes an And with n of a whole number of bytes a Zext.
func (i *Ins) maskWidth(n uint64) bool {
	switch n {
	case ones(1), ones(2), ones(4):
		i.become(Zext, 8, i.A, 0)
		i.Width = uint8(bits.Len64(n) / 8)
		return true
	}
	return false
}

// factor makes multiplications and divisions by powers of two shifts and masks.
func (d *folder) factor(i *Ins, a known) {
	n := uint64(i.Imm) & ones(i.Size)
	sign := 8*i.Size - 1
	if (i.Op == Sdiv || i.Op == Smod) && a.may&ones(i.Size)>>sign == 0 && n>>sign == 0 {
		i.Op -= Sdiv - Div
	}
	switch {
	case n == 0 && (i.Op == Div || i.Op == Sdiv):
		i.Op = And
		return
	case n == 0 || n&(n-1) != 0:
		return
	}
	shift := int64(bits.TrailingZeros64(n))
	switch i.Op {
	case Mul:
		i.Op, i.Imm = Shl, shift
	case Div:
		i.Op, i.Imm = Shr, shift
	case Mod:
		i.Op, i.Imm = And, int64(n-1)
	}
	i.Imm = wordOf(i.Imm, i.Size)
}
