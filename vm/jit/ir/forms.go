package ir

// rotation makes x<<n | x>>(bits-n) a Rol.
func (c *combiner) rotation(k int32) bool {
	i, n := c.at(k), &c.nodes[k]
	left, right := n.a, n.b
	if i.B == None || !c.single(left) || !c.single(right) {
		return false
	}
	if c.at(left).Op == Shr {
		left, right = right, left
	}
	l, r := c.at(left), c.at(right)
	from := c.nodes[left].a
	if l.Op != Shl || r.Op != Shr || l.B != None || r.B != None || l.Size != r.Size || l.Size > i.Size ||
		l.A != r.A || from != c.nodes[right].a || l.Imm+r.Imm != int64(8*l.Size) || !c.held(l.A, from, left, right) {
		return false
	}
	i.Op, i.Size, i.Imm = Rol, l.Size, l.Imm
	c.operands(k, l.A, from, None, 0)
	return true
}

// extension makes x<<n>>n a Zext or a Sext.
func (c *combiner) extension(k int32) bool {
	i, x := c.at(k), c.nodes[k].a
	if x == 0 || i.B != None {
		return false
	}
	l := c.at(x)
	if l.Op != Shl || l.B != None || l.Imm != i.Imm || l.Size != i.Size || !c.held(l.A, c.nodes[x].a, c.going(x)) {
		return false
	}
	op, width := extension(i)
	if width == 0 {
		return false
	}
	i.convert(op, width)
	c.operands(k, l.A, c.nodes[x].a, None, 0)
	return true
}

// extension gives the operation and the width that a shift to the right is, behind one to
// the left by as much. A width of 0 is none.
func extension(i *Ins) (Op, uint8) {
	op := Zext
	if i.Op == Sar {
		op = Sext
	}
	switch width := int64(i.Size) - i.Imm/8; {
	case i.Imm%8 != 0 || width != 1 && width != 2 && width != 4 || uint8(width) == i.Size:
		return op, 0
	default:
		return op, uint8(width)
	}
}

// going is instruction w if it goes when it loses a use, else none.
func (c *combiner) going(w int32) int32 {
	if c.single(w) {
		return w
	}
	return -1
}

// sum is an address as Lea and accesses have it, and what wrote its operands.
type sum struct {
	va, vb Var
	a, b   int32
	n      uint8
	off    int64
}

// of makes s the sum that an addition is, if it is one of 8 bytes.
func (s *sum) of(c *combiner, w int32) bool {
	i, n := c.at(w), &c.nodes[w]
	switch {
	case i.Op == Lea:
		s.n, s.off = i.N, int64(i.Off)
	case i.Op == Add && i.Size == 8:
		s.n, s.off = 0, 0
		if i.B == None {
			s.off = i.Imm
		}
	default:
		return false
	}
	s.va, s.vb, s.a, s.b = i.A, i.B, n.a, n.b
	return fits(s.off)
}

// sum takes shifts and additions into an addition, which becomes a Lea.
func (c *combiner) sum(k int32) {
	if n := &c.nodes[k]; !c.single(n.a) && !c.single(n.b) {
		return
	}
	var s sum
	if !s.of(c, k) || !c.widen(&s) {
		return
	}
	i := c.at(k)
	i.Op, i.N, i.Off, i.Imm = Lea, s.n, int32(s.off), 0
	c.operands(k, s.va, s.a, s.vb, s.b)
}

// widen takes what only a sum needs into it, and reports whether there was something.
func (c *combiner) widen(s *sum) (widened bool) {
	if s.vb != None && s.n == 0 && s.va != Frame && c.single(s.a) && c.at(s.a).Op == Shl {
		s.va, s.vb, s.a, s.b = s.vb, s.va, s.b, s.a
	}
	if c.single(s.b) {
		i, n := c.at(s.b), &c.nodes[s.b]
		more := i.Imm << s.n
		switch {
		case i.Size != 8 || i.B != None || !c.held(i.A, n.a, s.b):
		case i.Op == Shl && i.Imm+int64(s.n) <= 3:
			s.vb, s.b, s.n = i.A, n.a, s.n+uint8(i.Imm)
			widened = true
		case i.Op == Add && fits(i.Imm) && fits(s.off+more):
			s.vb, s.b, s.off = i.A, n.a, s.off+more
			widened = true
		}
	}
	if !c.single(s.a) {
		return widened
	}
	var t sum
	switch {
	case !t.of(c, s.a) || !fits(s.off+t.off) || s.vb != None && t.vb != None:
	case !c.held(t.va, t.a, s.a) || !c.held(t.vb, t.b, s.a):
	default:
		if s.vb != None {
			t.vb, t.b, t.n = s.vb, s.b, s.n
		}
		t.off += s.off
		*s, widened = t, true
	}
	return widened
}

// index lets an access have the sum that is its address, where that is needed for
// nothing but such.
func (c *combiner) index(k int32) {
	i, n := c.at(k), &c.nodes[k]
	if i.B != None || n.a == 0 {
		return
	}
	x := &c.nodes[n.a]
	var s sum
	if !s.of(c, n.a) || x.uses != x.addresses || !fits(s.off+int64(i.Off)) ||
		!c.held(s.va, s.a, c.going(n.a)) || !c.held(s.vb, s.b, c.going(n.a)) {
		return
	}
	off := s.off + int64(i.Off)
	if s.vb != None && !c.target.FullAddress && (off != 0 || s.n != 0 && 1<<s.n != i.Width) {
		return
	}
	i.N, i.Off = s.n, int32(off)
	x.addresses--
	c.operands(k, s.va, s.a, s.vb, s.b)
}

// count leaves out a mask of a shift's count that the shift implies.
func (c *combiner) count(k int32) {
	i, n := c.at(k), &c.nodes[k]
	if i.B == None || n.b == 0 {
		return
	}
	m, most := c.at(n.b), int64(8*i.Size-1)
	if m.Op == And && m.B == None && m.Imm&most == most && c.held(m.A, c.nodes[n.b].a, c.going(n.b)) {
		c.operands(k, i.A, n.a, m.A, c.nodes[n.b].a)
	}
}

// part leaves out what changes only bits that are not stored.
func (c *combiner) part(k int32) {
	i, n := c.at(k), &c.nodes[k]
	if i.C == None || n.c == 0 {
		return
	}
	m, from := c.at(n.c), c.nodes[n.c].a
	switch stored := int64(ones(i.Width)); {
	case m.Op == Zext && m.Width >= i.Width, m.Op == Sext && m.Width >= i.Width:
	case m.Op == And && m.B == None && m.Imm&stored == stored && m.Size >= i.Width:
	default:
		return
	}
	if was := n.c; c.held(m.A, from, c.going(was)) {
		i.C, n.c = m.A, from
		c.retain(from)
		c.release(was)
	}
}

// test compares what a difference is made from instead of the difference with 0, and
// tests bits instead of masking them before.
func (c *combiner) test(k int32) {
	i, n := c.at(k), &c.nodes[k]
	if i.Cond > Ne || i.B != None || i.Imm != 0 || !c.single(n.a) {
		return
	}
	x, y := c.at(n.a), &c.nodes[n.a]
	cond, b, size, imm := i.Cond, x.B, min(i.Size, x.Size), x.Imm
	switch x.Op {
	case And:
		cond = TestClear - i.Cond
	case Zext:
		if b, size, imm = None, 4, 0; x.Width < 4 {
			cond, imm = TestClear-i.Cond, int64(ones(x.Width))
		}
	case Sub, Xor:
	case Add:
		if b != None || !fits(-imm) {
			return
		}
		imm = -imm
	default:
		return
	}
	if x.Op == Zext && x.Width == 8 || !c.held(x.A, y.a, n.a) || !c.held(b, y.b, n.a) {
		return
	}
	i.Cond, i.Size, i.Imm = cond, size, wordOf(imm, size)
	c.operands(k, x.A, y.a, b, y.b)
}
