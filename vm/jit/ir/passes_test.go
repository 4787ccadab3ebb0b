package ir

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// pass is what rewrites functions.
type pass struct {
	name string
	run  func(f *Func)
}

// keepsMeaning runs random programs before and after passes.
func keepsMeaning(t *testing.T, passes ...pass) {
	t.Helper()
	seeds := uint64(1500)
	if testing.Short() {
		seeds = 200
	}
	for seed := range seeds {
		prog := newDense(seed)
		if seed%4 == 0 {
			prog = newRandom(seed)
			for _, f := range prog.Funcs {
				observe(f)
			}
		}
		run := func() (uint64, []string) {
			e := evaluator{t: t, prog: prog}
			return e.run(seed, seed<<32|7, 1<<63, seed*0x9e3779b97f4a7c15, 255)
		}
		r0, trace := run()
		for _, p := range passes {
			before := make([]string, len(prog.Funcs))
			for n, f := range prog.Funcs {
				before[n] = f.String()
				p.run(f)
				verify(t, f)
			}
			got, calls := run()
			if diff := cmp.Diff(trace, calls); got != r0 || diff != "" {
				for n, f := range prog.Funcs {
					t.Logf("function %d was\n%sand is\n%s", n, before[n], f)
				}
				t.Fatalf("seed %d, %s: r0 is %#x, was %#x; calls (-want +got):\n%s", seed, p.name, got, r0, diff)
			}
		}
	}
}

// observe makes all variables part of the result.
func observe(f *Func) {
	for at := range f.Blocks {
		b := &f.Blocks[at]
		if b.End().Op != Return {
			continue
		}
		b.Ins = b.Ins[:len(b.Ins)-1]
		for v := range f.Vars {
			if v != Frame {
				b.Ins = append(b.Ins, add(0, 0, v), Ins{Op: Mul, Size: 8, Dst: 0, A: 0, B: None, C: None, Imm: 0x10001})
			}
		}
		b.Ins = append(b.Ins, ret())
	}
}

// verify checks what holds of every function.
func verify(t testing.TB, f *Func) {
	t.Helper()
	for at := range f.Blocks {
		b := &f.Blocks[at]
		if len(b.Ins) == 0 {
			t.Fatalf("block %d is empty", at)
		}
		for k := range b.Ins {
			i := &b.Ins[k]
			if i.Ends() != (k == len(b.Ins)-1) {
				t.Fatalf("block %d: %s in the middle or none at the end", at, i)
			}
			for _, v := range []Var{i.Dst, i.A, i.B, i.C} {
				if v != None && v >= f.Vars {
					t.Fatalf("block %d: %s has variable %d of %d", at, i, v, f.Vars)
				}
			}
			frame := i.A == Frame && (i.Op == Mov || i.Op == Lea || i.Op >= Load && i.Op <= StoreRelease)
			if i.Dst == Frame || i.B == Frame || i.C == Frame || i.A == Frame && !frame {
				t.Fatalf("block %d: %s has the frame as an operand", at, i)
			}
			if i.Op == Lea && i.N > 3 || i.Op >= AtomicAdd && i.Op <= StoreRelease && i.N != 0 {
				t.Fatalf("block %d: %s shifts by %d", at, i, i.N)
			}
		}
		edges := 0
		switch b.End().Op {
		case Jump:
			edges = 1
		case Branch:
			edges = 2
		}
		for side, to := range b.Succ {
			if (side < edges) != (to >= 0) || to >= int32(len(f.Blocks)) {
				t.Fatalf("block %d: %s leads to block %d", at, b.End(), to)
			}
		}
	}
}

func TestRandomPasses(t *testing.T) {
	keepsMeaning(t, pass{"fold", (*Func).Fold}, pass{"sweep", (*Func).Sweep}, pass{"fold", (*Func).Fold}, pass{"sweep", (*Func).Sweep}, pass{"divide", (*Func).Divide},
		pass{"combine", combine}, pass{"sweep", (*Func).Sweep}, pass{"fold", (*Func).Fold})
}

// combine combines for a machine that can do what there is.
func combine(f *Func) { f.Combine(&Target{FullAddress: true}) }

// TestLinear would take long if a pass looked at what is before each instruction.
func TestLinear(t *testing.T) {
	for name, step := range map[string]string{
		"sums": "r1 = r1 + 1\nr1 = r1 + r2\n", "copies": "r3 = r1\nr1 = r3\n", "shifts": "r1 = r1 << 1\nr1 = r1 + r2\n",
		"bytes": "r3 = load1 [r1+0]\nr3 = r3 << 8\nr4 = r4 | r3\n", "divisions": "r1 = r1 / 7\n",
	} {
		t.Run(name, func(t *testing.T) {
			f := parse(t, "b0:\n"+strings.Repeat(step, 30_000)+"r0 = r1 + r4\nreturn")
			(&Program{Funcs: []*Func{f}}).Optimise(&Target{FullAddress: true})
			verify(t, f)
		})
	}
}
