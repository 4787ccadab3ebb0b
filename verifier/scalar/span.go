package scalar

// word is an unsigned word, signedWord the same word read as signed. Those of 8 bits
// are for tests, which try all of them.
type word interface{ uint8 | uint32 | uint64 }
type signedWord interface{ int8 | int32 | int64 }

// span is a set of words: those that lie in both intervals. It is what a [Value]
// keeps of its 64 bits, and of its lower 32.
type span[S signedWord, U word] struct {
	smin, smax S
	umin, umax U
}

// all is the span of all words.
func all[S signedWord, U word]() span[S, U] {
	top := ^U(0)
	return span[S, U]{smin: S(top/2 + 1), smax: S(top / 2), umax: top}
}

// arc is the span of the words met on the way up from one to another, which may
// lead over the greatest word.
func arc[S signedWord, U word](from, to U) span[S, U] {
	s := all[S, U]()
	s.meet(from, to)
	return s
}

// meet keeps the words of an arc, as far as intervals can tell.
func (s *span[S, U]) meet(from, to U) {
	if from <= to {
		s.umin, s.umax = max(s.umin, from), min(s.umax, to)
	}
	if S(from) <= S(to) {
		s.smin, s.smax = max(s.smin, S(from)), min(s.smax, S(to))
	}
}

// deduce lets each interval learn from the other.
func (s *span[S, U]) deduce() {
	s.meet(s.umin, s.umax)
	if U(s.smin) <= U(s.smax) { // the sign is known
		s.meet(U(s.smin), U(s.smax))
		return
	}
	// Read as unsigned, the signed interval is two: 0 to smax, and smin to the
	// greatest word. The unsigned one may overlap only one of them.
	switch {
	case s.umax < U(s.smin):
		s.smin, s.umax = S(s.umin), min(s.umax, U(s.smax))
	case s.umin > U(s.smax):
		s.smax, s.umin = S(s.umax), max(s.umin, U(s.smin))
	}
}

// bits learns from known bits, of which those of the word's width count.
func (s *span[S, U]) bits(t Tnum) {
	sign := ^(^U(0) / 2)
	value, mask := U(t.Value), U(t.Mask)
	s.umin, s.umax = max(s.umin, value), min(s.umax, value|mask)
	s.smin, s.smax = max(s.smin, S(value|mask&sign)), min(s.smax, S(value|mask&^sign))
}

func (a *span[S, U]) add(b *span[S, U]) span[S, U] {
	r := all[S, U]()
	umin, umax := a.umin+b.umin, a.umax+b.umax
	if (umin < a.umin) == (umax < a.umax) { // none wraps around, or both
		r.umin, r.umax = umin, umax
	}
	smin, smax := a.smin+b.smin, a.smax+b.smax
	if wrapsAdd(a.smin, b.smin, smin) == wrapsAdd(a.smax, b.smax, smax) {
		r.smin, r.smax = smin, smax
	}
	return r
}

func (a *span[S, U]) sub(b *span[S, U]) span[S, U] {
	r := all[S, U]()
	umin, umax := a.umin-b.umax, a.umax-b.umin
	if (a.umin < b.umax) == (a.umax < b.umin) {
		r.umin, r.umax = umin, umax
	}
	smin, smax := a.smin-b.smax, a.smax-b.smin
	if wrapsSub(a.smin, b.smax, smin) == wrapsSub(a.smax, b.smin, smax) {
		r.smin, r.smax = smin, smax
	}
	return r
}

// wrapsAdd and wrapsSub tell which way a result wrapped around: 0, not at all.
func wrapsAdd[S signedWord](a, b, sum S) int {
	switch {
	case a >= 0 && b >= 0 && sum < 0:
		return 1
	case a < 0 && b < 0 && sum >= 0:
		return -1
	}
	return 0
}

func wrapsSub[S signedWord](a, b, diff S) int {
	switch {
	case a >= 0 && b < 0 && diff < 0:
		return 1
	case a < 0 && b >= 0 && diff >= 0:
		return -1
	}
	return 0
}

func (a *span[S, U]) mul(b *span[S, U]) span[S, U] {
	r := all[S, U]()
	if umax := a.umax * b.umax; a.umax == 0 || umax/a.umax == b.umax {
		r.umin, r.umax = a.umin*b.umin, umax
	}
	corners := [4][2]S{{a.smin, b.smin}, {a.smin, b.smax}, {a.smax, b.smin}, {a.smax, b.smax}}
	lo, hi := r.smax, r.smin
	for _, c := range corners {
		p := c[0] * c[1]
		if c[0] != 0 && (p/c[0] != c[1] || c[0] == -1 && c[1] == r.smin) {
			return r
		}
		lo, hi = min(lo, p), max(hi, p)
	}
	r.smin, r.smax = lo, hi
	return r
}

// div divides by a number other than 0.
func (a *span[S, U]) div(d U) span[S, U] { return arc[S](a.umin/d, a.umax/d) }

// sdiv divides by a number other than 0, rounding towards it.
func (a *span[S, U]) sdiv(d S) span[S, U] {
	whole := all[S, U]()
	if d == -1 && a.smin == whole.smin { // whose quotient wraps around to itself
		if a.smax != whole.smin {
			return whole
		}
		return arc[S](U(a.smin), U(a.smin))
	}
	p, q := a.smin/d, a.smax/d
	return arc[S](U(min(p, q)), U(max(p, q)))
}

// mod is the remainder of a division by a number other than 0. same reports that
// the number is its own remainder.
func (a *span[S, U]) mod(d U) (r span[S, U], same bool) {
	if a.umax < d {
		return *a, true
	}
	return arc[S](0, d-1), false
}

// smod is mod of a signed division: the remainder has the sign of the number.
func (a *span[S, U]) smod(d S) (r span[S, U], same bool) {
	top := d // the greatest remainder
	switch {
	case d > 0:
		top--
	default:
		top = -(d + 1)
	}
	if a.smin >= -top && a.smax <= top {
		return *a, true
	}
	lo, hi := -top, top
	if a.smin >= 0 {
		lo, hi = 0, min(top, a.smax)
	} else if a.smax <= 0 {
		lo, hi = max(-top, a.smin), 0
	}
	return arc[S](U(lo), U(hi)), false
}

// and, or and xor take what is known of the result's bits.
func (a *span[S, U]) and(b *span[S, U], t Tnum) span[S, U] {
	return arc[S](U(t.Value), min(a.umax, b.umax))
}

func (a *span[S, U]) or(b *span[S, U], t Tnum) span[S, U] {
	return arc[S](max(a.umin, b.umin), U(t.Max()))
}

func (a *span[S, U]) xor(t Tnum) span[S, U] { return arc[S](U(t.Value), U(t.Max())) }

// lsh shifts left by less than the word's width.
func (a *span[S, U]) lsh(n uint) span[S, U] {
	if a.umax > ^(^U(0)/2)>>n { // a bit may be lost
		return all[S, U]()
	}
	return arc[S](a.umin<<n, a.umax<<n)
}

func (a *span[S, U]) rsh(n uint) span[S, U] { return arc[S](a.umin>>n, a.umax>>n) }

func (a *span[S, U]) arsh(n uint) span[S, U] { return arc[S](U(a.smin>>n), U(a.smax>>n)) }
