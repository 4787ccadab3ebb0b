package ir

import "testing"

func TestCombine(t *testing.T) {
	for _, r := range []rewriting{
		{"rotation", `
			w2 = w1
			w2 = w2 << 14
			w1 = w1 >> 18
			w2 = w2 | w1
			r0 = r2`, `
			w0 = w1 rol 14`},
		{"rotation of 8 bytes", `
			r0 = r1
			r0 = r0 >> 3
			r1 = r1 << 61
			r0 = r0 ^ r1`, `
			r0 = r1 rol 61`},
		{"no rotation", `
			r0 = r1
			r0 = r0 >> 3
			r1 = r1 << 60
			r0 = r0 ^ r1`, `
			r0 = r1 >> 3
			r1 = r1 << 60
			r0 = r0 ^ r1`},
		{"extensions", `
			r1 = r1 << 32
			r1 = r1 >> 32
			r2 = r2 << 48
			r2 = r2 s>> 48
			r3 = r1 << 56
			r0 = r3 >> 56
			r0 = r0 + r2
			r0 = r0 + r1`, `
			r1 = zext4 r1
			r2 = sext2 r2
			r0 = zext1 r1
			r0 = r0 + r2
			r0 = r0 + r1`},
		{"bytes", `
			r3 = load1 [r1+0]
			r1 = load1 [r1+1]
			r1 = r1 << 8
			r1 = r1 | r3
			r0 = r1`, `
			r0 = load2 [r1+0]`},
		{"four bytes, the first the highest", `
			r2 = load1 [r1+4]
			r2 = r2 << 24
			r3 = load1 [r1+5]
			r3 = r3 << 16
			r2 = r2 | r3
			r3 = load1 [r1+6]
			r3 = r3 << 8
			r2 = r2 | r3
			r3 = load1 [r1+7]
			r2 = r2 | r3
			r0 = r2`, `
			r2 = load4 [r1+4]
			r0 = bswap4 r2`},
		{"halves", `
			r2 = load2 [r1+4]
			r3 = load2 [r1+6]
			r3 = r3 << 16
			r2 = r2 | r3
			r3 = load4 [r1+8]
			r3 = r3 << 32
			r2 = r2 | r3
			r0 = r2`, `
			r0 = load8 [r1+4]`},
		{"bytes that are cut off", `
			r2 = load4 [r1+4]
			w3 = w2 << 16
			r2 = load2 [r1+2]
			w2 = w2 | w3
			r0 = r2`, `
			r2 = load4 [r1+4]
			w3 = w2 << 16
			r2 = load2 [r1+2]
			w0 = w2 | w3`},
		{"bytes with a store between", `
			r3 = load1 [r1+0]
			store1 [r2+0] = 7
			r1 = load1 [r1+1]
			r1 = r1 << 8
			r1 = r1 | r3
			r0 = r1`, `
			r3 = load1 [r1+0]
			store1 [r2+0] = 7
			r1 = load1 [r1+1]
			w1 = w1 << 8
			w0 = w1 | w3`},
		{"bytes that are needed themselves", `
			r0 = load1 [r1+0]
			r1 = load1 [r1+1]
			r1 = r1 << 8
			r1 = r1 | r0
			r0 = r0 + r1`, `
			r0 = load1 [r1+0]
			r1 = load1 [r1+1]
			w1 = w1 << 8
			w1 = w1 | w0
			w0 = w0 + w1`},
		{"indexes", `
			r3 = r1
			r3 = r3 + r2
			r0 = load8 [r3+8]
			store4 [r3+16] = r0`, `
			r0 = load8 [r1+r2+8]
			store4 [r1+r2+16] = r0`},
		{"a scaled index", `
			r2 = r2 << 3
			r1 = r1 + r2
			r0 = load8 [r1+0]`, `
			r0 = load8 [r1+r2<<3]`},
		{"an address that is needed itself", `
			r1 = r1 + r2
			r0 = load8 [r1+8]
			r0 = r0 + r1`, `
			r1 = r1 + r2
			r0 = load8 [r1+8]
			r0 = r0 + r1`},
		{"sums", `
			r3 = r1
			r3 = r3 << 1
			r3 = r3 + r2
			r3 = r3 + 7
			r0 = r3`, `
			r0 = &[r2+r1<<1+7]`},
		{"three times and one", `
			r2 = r1
			r1 = r1 << 1
			r1 = r1 + r2
			r1 = r1 + 1
			r0 = r1`, `
			r0 = &[r1+r1<<1+1]`},
		{"a base that changes", `
			r1 = r1 + 8
			r0 = load4 [r1+4]`, `
			r0 = load4 [r1+12]`},
		{"counts", `
			w2 = w2 & 31
			w1 = w1 << w2
			r0 = r1`, `
			w0 = w1 << w2`},
		{"parts", `
			r2 = r2 & 255
			store1 [r1+0] = r2
			r0 = 0`, `
			store1 [r1+0] = r2
			r0 = 0`},
		{"tests", `
			b0:
				r2 = r1
				r2 = r2 & 4
				r0 = 0
				if r2 == 0 goto b1 else b2
			b1:
				return
			b2:
				r0 = 1
				r1 = r1 - r3
				if r1 != 0 goto b1 else b3
			b3:
				r0 = 2
				return`, `
			b0:
				r0 = 0
				if w1 !& 4 goto b1 else b2
			b1:
				return
			b2:
				r0 = 1
				if r1 != r3 goto b1 else b3
			b3:
				r0 = 2
				return`},
		{"comparison of lower halves", `
			b0:
				w2 = w1
				r0 = 0
				if r2 == 7 goto b1 else b2
			b1:
				return
			b2:
				r0 = 1
				return`, `
			b0:
				r0 = 0
				if w1 == 7 goto b1 else b2
			b1:
				return
			b2:
				r0 = 1
				return`},
	} {
		r.run(t, (*Func).Fold, (*Func).Sweep, combine)
	}
}

func TestDirect(t *testing.T) {
	for _, r := range []rewriting{
		{"a move", `
			r2 = r1 * 3
			r3 = load8 [r1+0]
			r0 = r2
			r0 = r0 + r3`, `
			r0 = r1 * 3
			r3 = load8 [r1+0]
			r0 = r0 + r3`},
		{"moves on", `
			r2 = r1 * 3
			r3 = r2
			r4 = r3
			r0 = r4 | r1`, `
			r4 = r1 * 3
			r0 = r4 | r1`},
		{"where it is needed", `
			r2 = r1 * 3
			r1 = r1 + 8
			store8 [r1+0] = r3
			r3 = r2
			r0 = r3 * r3`, `
			r2 = r1 * 3
			store8 [r1+8] = r3
			r0 = r2 * r2`},
		{"in place of what is needed before", `
			r2 = r1 * 3
			store8 [r1+0] = r3
			r3 = r2
			r2 = r1
			r0 = r3 / r2
			r0 = r0 + r3`, `
			r2 = r1 * 3
			store8 [r1+0] = r3
			r0 = r2 / r1
			r0 = r0 + r2`},
	} {
		r.run(t, (*Func).Liveness, combine)
	}
}

func TestCombineNarrow(t *testing.T) {
	// Machines that have no index and offset at once.
	for _, r := range []rewriting{
		{"an index of the access's size", `
			r2 = r2 << 3
			r1 = r1 + r2
			r0 = load8 [r1+0]`, `
			r0 = load8 [r1+r2<<3]`},
		{"of another", `
			r2 = r2 << 3
			r1 = r1 + r2
			r0 = load4 [r1+0]`, `
			r1 = &[r1+r2<<3]
			r0 = load4 [r1+0]`},
		{"an offset", `
			r1 = r1 + r2
			r0 = load8 [r1+8]`, `
			r1 = r1 + r2
			r0 = load8 [r1+8]`},
	} {
		r.run(t, (*Func).Fold, (*Func).Sweep, func(f *Func) { f.Combine(&Target{}) })
	}
}
