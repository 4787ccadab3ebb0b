package ir

import "math/bits"

// Divide makes divisions by numbers multiplications, with the reciprocal times a power
// of two, and shifts. Those by powers of two that are not signed are shifts already
// where [Func.Fold] has been.
func (f *Func) Divide() {
	d := divider{f: f, spare: [2]Var{None, None}}
	for at := range f.Blocks {
		b := &f.Blocks[at]
		divisions := 0
		for k := range b.Ins {
			if isDivision(b.Ins[k].Op) && b.Ins[k].B == None {
				divisions++
			}
		}
		if divisions == 0 {
			continue
		}
		d.out = f.workspace().ins.room(len(b.Ins) + maxDivision*divisions)
		for k := range b.Ins {
			if i := &b.Ins[k]; !d.divide(i) {
				d.out = append(d.out, *i)
			}
		}
		b.Ins = d.out
	}
}

func isDivision(op Op) bool { return op >= Div && op <= Smod }

// maxDivision is how many instructions come of a division at most, less one.
const maxDivision = 9

// divider writes what divisions become.
type divider struct {
	f     *Func
	out   []Ins
	at    int32
	spare [2]Var // variables for what is between; None: not needed so far
}

// divide writes a division, if it is one by a number that can be had otherwise.
func (d *divider) divide(i *Ins) bool {
	if !isDivision(i.Op) || i.B != None {
		return false
	}
	d.at = i.At
	n, modulo := wordOf(i.Imm, i.Size), i.Op == Mod || i.Op == Smod
	q, u := i.Dst, d.temp(1) // what the quotient is calculated in, and what is needed for that
	if modulo && i.Dst == i.A {
		q = d.temp(0)
	}
	by := uint64(n) & ones(i.Size)
	signed := i.Op >= Sdiv
	switch {
	case n == 0, q == None, u == None, !signed && by&(by-1) == 0:
		return false
	case signed && (n == 1 || n == -1):
		d.one(i, n)
		return true
	case signed:
		d.signed(i, q, u, n)
	default:
		d.unsigned(i, q, u, by)
	}
	switch {
	case modulo:
		d.imm(Mul, i.Size, q, q, n)
		d.op(Sub, i.Size, i.Dst, i.A, q)
	case signed && i.Size == 4:
		d.extend(Zext, q, q)
	}
	return true
}

// temp gives one of the variables for what is between; None if there are no more.
func (d *divider) temp(n int) Var {
	if d.spare[n] == None {
		d.spare[n] = d.f.NewVar()
	}
	return d.spare[n]
}

func (d *divider) op(op Op, size uint8, dst, a, b Var) {
	d.out = append(d.out, Ins{Op: op, Size: size, Dst: dst, A: a, B: b, C: None, At: d.at})
}

func (d *divider) imm(op Op, size uint8, dst, a Var, n int64) {
	d.out = append(d.out, Ins{Op: op, Size: size, Dst: dst, A: a, B: None, C: None, At: d.at, Imm: n})
}

func (d *divider) extend(op Op, dst, a Var) {
	d.out = append(d.out, Ins{Op: op, Size: 8, Width: 4, Dst: dst, A: a, B: None, C: None, At: d.at})
}

// times writes q = a * m >> n, a product of up to 16 bytes if wide.
func (d *divider) times(wide bool, q, a Var, m uint64, n int) {
	op := Mul
	if wide {
		op, n = MulHi, n-64
	}
	for ; m&1 == 0 && n > 0; n-- {
		m >>= 1
	}
	d.imm(op, 8, q, a, int64(m))
	if n != 0 {
		d.imm(Shr, 8, q, q, int64(n))
	}
}

// one is a signed division by 1 or -1.
func (d *divider) one(i *Ins, n int64) {
	switch {
	case i.Op == Smod:
		d.imm(Const, 8, i.Dst, None, 0)
	case n == 1:
		d.op(Mov, i.Size, i.Dst, i.A, None)
	default:
		d.op(Neg, i.Size, i.Dst, i.A, None)
	}
}

// unsigned writes q = A / by, where by is no power of two. The product of a number of
// k bits and of the reciprocal of by, rounded up to k+1 digits, begins with the
// quotient; fewer digits do where the error is small enough (Granlund and Montgomery,
// 1994).
func (d *divider) unsigned(i *Ins, q, u Var, by uint64) {
	a, width, l := i.A, int(i.N), bits.Len64(by)
	if width == 0 {
		width = 64
		if i.Size == 4 {
			d.extend(Zext, q, a)
			a, width = q, 32
		}
	}
	switch m, over := reciprocal(64+l-1, by); {
	case l > width:
		d.imm(Const, 8, q, None, 0)
	case width < 32:
		m, _ = reciprocal(width+l, by)
		d.times(false, q, a, m, width+l)
	case width == 32:
		if m, over = reciprocal(32+l-1, by); over <= 1<<(l-1) {
			d.times(false, q, a, m, 32+l-1)
			return
		}
		m, _ = reciprocal(64, by)
		d.times(true, q, a, m, 64)
	case width < 64, over <= 1<<(l-1):
		d.times(true, q, a, m, 64+l-1)
	case by&1 == 0:
		even := bits.TrailingZeros64(by)
		m, _ = reciprocal(64+l-even-1, by>>even)
		d.imm(Shr, 8, q, a, int64(even))
		d.times(true, q, q, m, 64+l-even-1)
	default: // all 65 digits: m and a 1 before them
		m, _ = bits.Div64(1<<l-by, 0, by)
		d.times(true, u, a, m+1, 64)
		d.op(Sub, 8, q, a, u)
		d.imm(Shr, 8, q, q, 1)
		d.op(Add, 8, q, q, u)
		d.imm(Shr, 8, q, q, int64(l-1))
	}
}

// reciprocal is 1<<n / by, rounded up, and how much the product with by is over.
func reciprocal(n int, by uint64) (m, over uint64) {
	if n < 64 {
		return 1<<n/by + 1, by - 1<<n%by
	}
	m, rest := bits.Div64(1<<(n-64), 0, by)
	return m + 1, by - rest
}

// signed writes q = A / by, where by is not 0, 1 or -1.
func (d *divider) signed(i *Ins, q, u Var, by int64) {
	a, positive := i.A, uint64(max(by, -by))
	if i.Size == 4 {
		d.extend(Sext, q, a)
		a = q
	}
	l := bits.Len64(positive - 1)
	d.imm(Sar, 8, u, a, 63) // -1 for a negative number
	switch {
	case positive == 1<<l:
		d.imm(Shr, 8, u, u, int64(64-l))
		d.op(Add, 8, q, a, u)
		d.imm(Sar, 8, q, q, int64(l))
	case i.Size == 4:
		m, _ := reciprocal(31+l, positive)
		d.imm(Mul, 8, q, a, int64(m))
		d.imm(Sar, 8, q, q, int64(31+l))
		d.op(Sub, 8, q, q, u)
	default: // of the magnitude
		m, _ := reciprocal(64+l-1, positive)
		d.op(Xor, 8, q, a, u)
		d.op(Sub, 8, q, q, u)
		d.times(true, q, q, m, 64+l-1)
		d.op(Xor, 8, q, q, u)
		d.op(Sub, 8, q, q, u)
	}
	if by < 0 {
		d.op(Neg, 8, q, q, None)
	}
}
