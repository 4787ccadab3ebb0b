package scalar

import "math/bits"

// Widen gives a set that contains both sets, for numbers that grow from turn to turn
// of a loop: a bound that has moved since old moves on to the next of rests, or as far
// as it can. Bits are kept below the lowest that has changed. Applied again and again
// it comes to rest.
func (v *Value) Widen(old *Value, rests []uint64) Value {
	var r Value
	w, n := v.wide(), v.narrow()
	ow, on := old.wide(), old.narrow()
	r.setWide(w.widen(&ow, rests))
	r.setNarrow(n.widen(&on, rests))
	r.Bits = old.Bits.Union(v.Bits)
	if changed := r.Bits.Mask &^ old.Bits.Mask; changed != 0 {
		r.Bits.Mask |= ^uint64(0) << bits.TrailingZeros64(changed)
		r.Bits.Value &^= r.Bits.Mask
	}
	r.Sync(Newest)
	return r
}

func (s *span[S, U]) widen(old *span[S, U], rests []uint64) span[S, U] {
	r, top := *old, all[S, U]()
	if s.umax > old.umax {
		r.umax = restAbove(s.umax, top.umax, rests)
	}
	if s.umin < old.umin {
		r.umin = restBelow(s.umin, top.umin, rests)
	}
	if s.smax > old.smax {
		r.smax = restAbove(s.smax, top.smax, rests)
	}
	if s.smin < old.smin {
		r.smin = restBelow(s.smin, top.smin, rests)
	}
	return r
}

// restAbove gives the least of rests that is not below x, or top.
func restAbove[W word | signedWord](x, top W, rests []uint64) W {
	for _, rest := range rests {
		if w := W(rest); w >= x && w < top {
			top = w
		}
	}
	return top
}

// restBelow gives the greatest of rests that is not above x, or bottom.
func restBelow[W word | signedWord](x, bottom W, rests []uint64) W {
	for _, rest := range rests {
		if w := W(rest); w <= x && w > bottom {
			bottom = w
		}
	}
	return bottom
}

// Tighten moves the bounds to numbers with the lowest bits that are known, as far as
// these are known without a gap: those of a multiple of 8 become multiples of 8. Linux
// does not.
func (v *Value) Tighten() {
	n := bits.TrailingZeros64(v.Bits.Mask)
	if n == 0 || n == 64 || v.IsEmpty() {
		return
	}
	w := v.wide()
	w.tighten(uint64(1)<<n-1, v.Bits.Value)
	v.setWide(w)
	if n < 32 {
		h := v.narrow()
		h.tighten(uint32(1)<<n-1, uint32(v.Bits.Value))
		v.setNarrow(h)
	}
	v.Sync(Newest)
}

// tighten moves the bounds to words that have in the bits of mask what value has.
func (s *span[S, U]) tighten(mask, value U) {
	up := func(x U) U { return x + (value-x)&mask }
	down := func(x U) U { return x - (x-value)&mask }
	if x := up(s.umin); x >= s.umin {
		s.umin = x
	}
	if x := down(s.umax); x <= s.umax {
		s.umax = x
	}
	if x := S(up(U(s.smin))); x >= s.smin {
		s.smin = x
	}
	if x := S(down(U(s.smax))); x <= s.smax {
		s.smax = x
	}
}
