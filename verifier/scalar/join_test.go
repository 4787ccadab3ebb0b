package scalar

import (
	"math/rand/v2"
	"testing"
)

// TestJoin demands that a joined set has the numbers of both.
func TestJoin(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		a, b := r.Uint64()>>r.IntN(64), r.Uint64()>>r.IntN(64)
		v, w := Const(a), Const(b)
		v.Join(&w)
		if !v.Has(a) || !v.Has(b) || !w.Within(&v) {
			t.Fatalf("%#x and %#x give %+v", a, b, v)
		}
	}
}
