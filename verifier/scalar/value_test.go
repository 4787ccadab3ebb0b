package scalar

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/skep-ebpf/skep/isa"
)

// sample gives a random number and a set that contains it.
func sample(r *rand.Rand) (uint64, Value) {
	x := number(r)
	v := Unknown()
	for range 1 + r.IntN(3) {
		switch r.IntN(8) {
		case 0:
			v = Const(x)
		case 1:
			mask := r.Uint64() & r.Uint64() >> r.IntN(64)
			v.Bits = v.Bits.Intersect(Tnum{x &^ mask, mask})
		case 2:
			lo, hi := x-r.Uint64()>>r.IntN(64), x+r.Uint64()>>r.IntN(64)
			if lo <= x {
				v.UMin = max(v.UMin, lo)
			}
			if hi >= x {
				v.UMax = min(v.UMax, hi)
			}
		case 3:
			lo, hi := int64(x)-int64(r.Uint64()>>(1+r.IntN(63))), int64(x)+int64(r.Uint64()>>(1+r.IntN(63)))
			if lo <= int64(x) {
				v.SMin = max(v.SMin, lo)
			}
			if hi >= int64(x) {
				v.SMax = min(v.SMax, hi)
			}
		case 4:
			lo, hi := uint32(x)-r.Uint32()>>r.IntN(32), uint32(x)+r.Uint32()>>r.IntN(32)
			if lo <= uint32(x) {
				v.U32Min = max(v.U32Min, lo)
			}
			if hi >= uint32(x) {
				v.U32Max = min(v.U32Max, hi)
			}
		case 5:
			lo, hi := int32(x)-int32(r.Uint32()>>(1+r.IntN(31))), int32(x)+int32(r.Uint32()>>(1+r.IntN(31)))
			if lo <= int32(x) {
				v.S32Min = max(v.S32Min, lo)
			}
			if hi >= int32(x) {
				v.S32Max = min(v.S32Max, hi)
			}
		}
		v.Sync(Rules(r.IntN(int(numRules))))
	}
	return x, v
}

// number gives a random number, mostly near the edges of words.
func number(r *rand.Rand) uint64 {
	edges := [...]uint64{0, 1 << 7, 1 << 8, 1 << 15, 1 << 16, 1 << 31, 1 << 32, 1 << 63}
	switch r.IntN(4) {
	case 0:
		return r.Uint64() >> r.IntN(64)
	case 1:
		return -(r.Uint64() >> r.IntN(64))
	}
	return edges[r.IntN(len(edges))] + uint64(r.IntN(9)) - 4
}

var aluOps = []uint8{
	isa.AluADD, isa.AluSUB, isa.AluMUL, isa.AluDIV, isa.AluMOD, isa.AluAND, isa.AluOR, isa.AluXOR,
	isa.AluLSH, isa.AluRSH, isa.AluARSH, isa.AluNEG,
}

var jumpOps = []uint8{
	isa.JmpJEQ, isa.JmpJNE, isa.JmpJSET, isa.JmpJGT, isa.JmpJGE, isa.JmpJLT, isa.JmpJLE,
	isa.JmpJSGT, isa.JmpJSGE, isa.JmpJSLT, isa.JmpJSLE,
}

// holds tells whether a jump's condition holds between numbers.
func holds(op uint8, narrow bool, a, b uint64) bool {
	s, t := int64(a), int64(b)
	if narrow {
		a, b = uint64(uint32(a)), uint64(uint32(b))
		s, t = int64(int32(a)), int64(int32(b))
	}
	switch op {
	case isa.JmpJEQ:
		return a == b
	case isa.JmpJNE:
		return a != b
	case isa.JmpJSET:
		return a&b != 0
	case isa.JmpJGT:
		return a > b
	case isa.JmpJGE:
		return a >= b
	case isa.JmpJLT:
		return a < b
	case isa.JmpJLE:
		return a <= b
	case isa.JmpJSGT:
		return s > t
	case isa.JmpJSGE:
		return s >= t
	case isa.JmpJSLT:
		return s < t
	}
	return s <= t
}

func extend(x uint64, size int) uint64 {
	n := 64 - 8*size
	return uint64(int64(x<<n) >> n)
}

// check tries every operation on two sets and a number of each.
func check(t *testing.T, by Rules, x uint64, v Value, y uint64, w Value) {
	t.Helper()
	has := func(what string, got Value, want uint64) {
		t.Helper()
		if got.IsEmpty() || !got.Has(want) {
			t.Fatalf("%s of\n%#x in %+v and\n%#x in %+v\nis %+v\nwithout %#x", what, x, v, y, w, got, want)
		}
	}
	has("itself", v, x)
	has("itself", w, y)
	for _, op := range aluOps {
		for _, signed := range []bool{false, true} {
			if want, ok := Eval(op, signed, x, y); ok {
				got := v
				got.Op(by, op, signed, &w)
				has(fmt.Sprintf("Op(%#x, %t)", op, signed), got, want)
			}
			if want, ok := Eval32(op, signed, uint32(x), uint32(y)); ok {
				got := v
				got.Op32(by, op, signed, &w)
				has(fmt.Sprintf("Op32(%#x, %t)", op, signed), got, uint64(want))
			}
		}
		got := v
		got.Op(by, op, false, &got)
		if want, ok := Eval(op, false, x, x); ok {
			has(fmt.Sprintf("Op(%#x) on itself", op), got, want)
		}
	}
	moved := v
	moved.Move(by, int64(y))
	has("Move", moved, x+y)
	for _, size := range []int{1, 2, 4, 8} {
		if size < 8 {
			got := v
			got.Truncate(by, size)
			has("Truncate", got, x&(1<<(8*size)-1))
			got = v
			got.SignExtend(by, size)
			has("SignExtend", got, extend(x, size))
		}
		if size < 4 {
			got := v
			got.SignExtend32(by, size)
			has("SignExtend32", got, uint64(uint32(extend(x, size))))
		}
		if size > 1 {
			got := v
			got.ByteSwap(by, size)
			has("ByteSwap", got, swapBytes(x, size))
		}
	}
	for _, op := range jumpOps {
		for _, narrow := range []bool{false, true} {
			is := holds(op, narrow, x, y)
			if o := v.Compare(by, op, narrow, &w); o == Always && !is || o == Never && is {
				t.Fatalf("Compare(%#x, %t) of\n%#x in %+v and\n%#x in %+v\nis %d", op, narrow, x, v, y, w, o)
			}
			a, b := v, w
			Refine(by, op, narrow, is, &a, &b)
			has(fmt.Sprintf("first of Refine(%#x, %t, %t)", op, narrow, is), a, x)
			has(fmt.Sprintf("second of Refine(%#x, %t, %t)", op, narrow, is), b, y)

			is = holds(op, narrow, x, x)
			a = v
			RefineSelf(by, op, narrow, is, &a)
			has(fmt.Sprintf("RefineSelf(%#x, %t, %t)", op, narrow, is), a, x)
			if o := v.CompareSelf(op, narrow); o == Always && !is || o == Never && is {
				t.Fatalf("CompareSelf(%#x, %t) of %#x in %+v is %d", op, narrow, x, v, o)
			}
		}
	}
}

func TestSound(t *testing.T) {
	n := 10_000
	if testing.Short() {
		n = 3_000
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range n {
		x, v := sample(r)
		y, w := sample(r)
		check(t, Rules(r.IntN(int(numRules))), x, v, y, w)
	}
}

func FuzzSound(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) {
		r := rand.New(rand.NewPCG(a, b))
		x, v := sample(r)
		y, w := sample(r)
		check(t, Rules(r.IntN(int(numRules))), x, v, y, w)
	})
}

// TestSpans tries all spans of a few bounds and all their words, of 8 bits.
func TestSpans(t *testing.T) {
	bounds := []uint8{0, 1, 5, 126, 127, 128, 129, 200, 254, 255}
	var spans []span[int8, uint8]
	for _, lo := range bounds {
		for _, hi := range bounds {
			s := arc[int8](lo, hi)
			s.deduce()
			spans = append(spans, s)
		}
	}
	has := func(s *span[int8, uint8], x uint8) bool {
		return s.umin <= x && x <= s.umax && s.smin <= int8(x) && int8(x) <= s.smax
	}
	for i := range spans {
		for j := range spans {
			a, b := &spans[i], &spans[j]
			sum, diff, prod := a.add(b), a.sub(b), a.mul(b)
			for _, x := range bounds {
				for _, y := range bounds {
					if !has(a, x) || !has(b, y) {
						continue
					}
					if !has(&sum, x+y) || !has(&diff, x-y) || !has(&prod, x*y) {
						t.Fatalf("%d of %+v and %d of %+v: %+v %+v %+v", x, *a, y, *b, sum, diff, prod)
					}
				}
			}
		}
	}
}

// TestTnums tries all sets of 4 bits.
func TestTnums(t *testing.T) {
	var all []Tnum
	for value := range uint64(16) {
		for mask := range uint64(16) {
			if value&mask == 0 {
				all = append(all, Tnum{value, mask})
			}
		}
	}
	for _, a := range all {
		for _, b := range all {
			contained := true
			for x := range uint64(16) {
				contained = contained && (!b.Has(x) || a.Has(x))
				for y := range uint64(16) {
					if !a.Has(x) || !b.Has(y) {
						continue
					}
					for what, ok := range map[string]bool{
						"Add": a.Add(b).Has(x + y), "Sub": a.Sub(b).Has(x - y), "Mul": a.Mul(b).Has(x * y),
						"mulEarly": a.mulEarly(b).Has(x * y), "mulEarliest": a.mulEarliest(b).Has(x * y),
						"And": a.And(b).Has(x & y), "Or": a.Or(b).Has(x | y), "Xor": a.Xor(b).Has(x ^ y),
						"Union": a.Union(b).Has(x) && a.Union(b).Has(y), "Overlaps": a.Overlaps(b) || x != y,
						"Intersect": x != y || a.Intersect(b).Has(x),
					} {
						if !ok {
							t.Fatalf("%s of %v and %v lacks that of %d and %d", what, a, b, x, y)
						}
					}
				}
			}
			if contained != a.Contains(b) {
				t.Fatalf("%v.Contains(%v) is %t", a, b, !contained)
			}
		}
		for x := range uint64(16) {
			want := a.Max()
			for y := uint64(15); y > x; y-- {
				if a.Has(y) {
					want = y
				}
			}
			if got := a.above(x); got != want {
				t.Fatalf("%v.above(%d) is %d, want %d", a, x, got, want)
			}
		}
	}
}

// TestPrecise shows what must not be lost.
func TestPrecise(t *testing.T) {
	narrow := func(lo, hi int32) Value {
		v := Unknown()
		v.LimitSigned32(lo, hi)
		return v
	}
	negated := Range(1, 5)
	negated.Op(Newest, isa.AluNEG, false, &negated)
	extended := narrow(-3, 7)
	c32 := Const(32)
	extended.Op(Newest, isa.AluLSH, false, &c32)
	extended.Op(Newest, isa.AluARSH, false, &c32)
	positive := SignedRange(math.MinInt32, math.MaxInt32)
	positive.LimitSigned32(0, 9)
	crossing := SignedRange(-10, 10)
	crossing.LimitUnsigned(5, math.MaxUint64-20)
	for _, c := range []struct {
		name   string
		v      Value
		lo, hi int64
	}{
		{"negation", negated, -5, -1},
		{"sign extension by shifts", extended, -3, 7},
		{"sign extension of what is not negative", positive, 0, 9},
		{"unsigned bounds that leave one sign", crossing, 5, 10},
	} {
		if c.v.SMin != c.lo || c.v.SMax != c.hi {
			t.Errorf("%s: %d to %d, want %d to %d", c.name, c.v.SMin, c.v.SMax, c.lo, c.hi)
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	w := Range(1, 100)
	v := Range(5, 1000)
	for b.Loop() {
		x := v
		x.Op(Newest, isa.AluADD, false, &w)
	}
}

func BenchmarkRefine(b *testing.B) {
	w := Range(1, 100)
	v := Range(5, 1000)
	for b.Loop() {
		x, y := v, w
		Refine(Newest, isa.JmpJLT, false, true, &x, &y)
	}
}
