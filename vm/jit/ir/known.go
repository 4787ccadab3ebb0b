package ir

import "math/bits"

// known is what is known of a variable: that it is base + off, or the lower half of
// base, and that bits other than those of may are 0.
type known struct {
	off  int64
	may  uint64
	base Var  // None: it is the number off; Frame; or another variable; anything
	low  bool // it is the lower half of base, zero-extended
}

// anything is the base of a variable of which only the bits are known.
const anything Var = 254

// constant is what is known of a number.
func constant(n int64) known { return known{off: n, may: uint64(n), base: None} }

// some is a number with no other bits than those of may.
func some(may uint64) known { return known{may: may, base: anything} }

// isNumber reports whether it is one number.
func (k *known) isNumber() bool { return k.base == None }

// isVar reports whether it depends on another variable.
func (k *known) isVar() bool { return k.base < MaxVars && k.base != Frame }

// same reports whether two variables, or one at two times, hold the same.
func (k *known) same(l *known) bool {
	return k.base == l.base && k.off == l.off && k.low == l.low && k.base != anything
}

// lose leaves only the bits.
func (k *known) lose() { k.off, k.base, k.low = 0, anything, false }

// facts is what is known of each variable at some place.
type facts []fact

// fact is what is known of a variable.
type fact struct {
	known
	users Set // all variables that are known to depend on this one, and perhaps more
}

// set notes that a variable has got a new content.
func (s facts) set(v Var, k known) {
	f := &s[v]
	if f.users != 0 {
		heir, off := s.handOver(v)
		if k.base == v && heir != None && (off == 0 || !k.low) {
			k.base, k.off = heir, k.off-off
		}
	}
	f.known = k
	switch {
	case k.base == v:
		f.lose()
	case k.isVar():
		s[k.base].users |= 1 << v
	}
}

// unknown notes that only the bits of a variable's new content are known.
func (s facts) unknown(v Var, may uint64) {
	f := &s[v]
	if f.users != 0 {
		s.handOver(v)
	}
	f.known = some(may)
}

// handOver lets all that depend on v, before that changes, depend on one of them
// instead, which is v + off; None if there is none such.
func (s facts) handOver(v Var) (heir Var, off int64) {
	users := s[v].users
	s[v].users = 0
	heir = None
	for _, rest := range [2]Set{users &^ Clobbered, users & Clobbered} { // rather one that calls keep
		for rest != 0 && heir == None {
			var u Var
			u, rest = rest.Next()
			if s[u].base == v && !s[u].low {
				heir, off = u, s[u].off
				s[u].lose()
			}
		}
	}
	for rest := users; rest != 0; {
		var u Var
		u, rest = rest.Next()
		switch {
		case s[u].base != v:
		case heir == None || s[u].low && off != 0:
			s[u].lose()
		default:
			s[u].base = heir
			s[u].off -= off
			s[heir].users |= 1 << u
		}
	}
	return heir, off
}

// forget notes that nothing is known of some variables any more.
func (s facts) forget(which Set) {
	for which &= 1<<len(s) - 1; which != 0; {
		var v Var
		v, which = which.Next()
		s.unknown(v, ^uint64(0))
	}
}

// join leaves what holds in both.
func (s facts) join(t facts) {
	for v := range s {
		a, b := &s[v], &t[v]
		if a.known != b.known {
			if !a.same(&b.known) {
				a.lose()
			}
			a.may |= b.may
		}
	}
}

// states has the facts of blocks that wait to be visited, by numbers from 1. There are
// far fewer at a time than blocks.
type states struct {
	memory *arena[fact]
	vars   int
	all    []facts
	free   []int32
}

func (s *states) facts(at int32) facts { return s.all[at-1] }

// take gives a state whose facts nobody needs.
func (s *states) take() int32 {
	if n := len(s.free); n > 0 {
		at := s.free[n-1]
		s.free = s.free[:n-1]
		return at
	}
	s.all = append(s.all, s.memory.make(s.vars))
	return int32(len(s.all))
}

func (s *states) put(at int32) { s.free = append(s.free, at) }

// smear sets all bits below the highest one.
func smear(may uint64) uint64 { return 1<<bits.Len64(may) - 1 }

// fits reports whether an instruction of a machine may have a number as its immediate.
func fits(n int64) bool { return n == int64(int32(n)) }

// wordOf is the number that an operation of a size takes n for: of 4 bytes only its lower
// half counts, and immediates have it sign-extended.
func wordOf(n int64, size uint8) int64 {
	if size == 4 {
		return int64(int32(n))
	}
	return n
}
