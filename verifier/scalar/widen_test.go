package scalar

import (
	"math/rand/v2"
	"testing"
)

// TestWiden demands that what is widened contains both sets, and that widening again
// and again comes to rest.
func TestWiden(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		rests := []uint64{number(r), number(r), number(r)}
		x, old := sample(r)
		last := old
		changes := 0
		for range 40 {
			y, v := sample(r)
			now := v.Widen(&last, rests)
			if !now.Has(x) || !now.Has(y) {
				t.Fatalf("%v widened by %v is %v, without %#x or %#x", last, v, now, x, y)
			}
			if now != last {
				changes++
			}
			last = now
		}
		if changes > 24 {
			t.Fatalf("%v changed %d times on the way to %v", old, changes, last)
		}
	}
}

// TestTighten demands that no number is lost, and none is won.
func TestTighten(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 500_000 {
		x, v := sample(r)
		if n := r.IntN(8); r.IntN(2) == 0 {
			v.Bits.Mask = v.Bits.Mask >> n << n
			v.Bits.Value |= x &^ v.Bits.Mask
		}
		tight := v
		if tight.Tighten(); !tight.Has(x) || !tight.Within(&v) {
			t.Fatalf("%v, tightened, is %v; it has %#x", v, tight, x)
		}
	}
}
