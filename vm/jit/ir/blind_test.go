package ir

import (
	"math/rand/v2"
	"testing"
)

// allBits is a source of which each number has all bits.
type allBits struct{}

func (allBits) Uint64() uint64 { return 1<<64 - 1 }

func TestBlind(t *testing.T) {
	for _, r := range []rewriting{
		{"operations", `
			r1 = 7
			r1 = r1 + 8
			w2 = w1 s/ 10
			r0 = r2 << 5`, `
			r1 = -8
			r1 = r1 ^ -1
			r11 = -9
			r11 = r11 ^ -1
			r1 = r1 + r11
			r11 = -11
			r11 = r11 ^ -1
			w2 = w1 s/ w11 nonzero
			r0 = r2 << 5`},
		{"memory", `
			store4 [r1+8] = 305419896
			store1 [r1+70000] = 7
			store8 [r1+r2<<3+70000] = r2
			r0 = add8 [r1+70000] r2`, `
			r11 = -305419897
			r11 = r11 ^ -1
			store4 [r1+8] = r11
			r12 = -70001
			r12 = r12 ^ -1
			r11 = -8
			r11 = r11 ^ -1
			store1 [r1+r12] = r11
			r12 = -70001
			r12 = r12 ^ -1
			r12 = &[r1+r12]
			store8 [r12+r2<<3+0] = r2
			r12 = -70001
			r12 = r12 ^ -1
			r12 = &[r1+r12]
			r0 = add8 [r12+0] r2`},
	} {
		r.run(t, blind(allBits{}))
	}
}

// blind is [Program.Blind] of one function.
func blind(random rand.Source) func(*Func) {
	return func(f *Func) {
		if err := (&Program{Funcs: []*Func{f}}).Blind(random); err != nil {
			panic(err)
		}
	}
}

func TestBlindRandom(t *testing.T) {
	keepsMeaning(t, pass{"fold", (*Func).Fold}, pass{"sweep", (*Func).Sweep}, pass{"combine", combine}, pass{"blind", blind(rand.NewPCG(1, 1))})
}

func TestBlindFull(t *testing.T) {
	f := &Func{Name: "full", Vars: MaxVars}
	if err := (&Program{Funcs: []*Func{f}}).Blind(allBits{}); err == nil {
		t.Error("a function without a free variable was blinded")
	}
}
