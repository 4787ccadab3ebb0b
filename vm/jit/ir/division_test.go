package ir

import (
	"math/rand/v2"
	"testing"
)

// boundaries are numbers near what algorithms may get wrong.
func boundaries() (all []uint64) {
	for n := range 64 {
		for k := range uint64(5) {
			all = append(all, 1<<n+k-2)
		}
	}
	for _, n := range []uint64{3, 5, 6, 7, 10, 14, 25, 28, 60, 100, 125, 641, 1000, 1009, 3600, 10_000, 86_400, 1_000_000, 1_000_000_000, 6_700_417} {
		all = append(all, n, -n)
	}
	return all
}

// TestDivide compares with the machine's division.
func TestDivide(t *testing.T) {
	numbers := boundaries()
	r := rand.New(rand.NewPCG(7, 7))
	for range 40 {
		numbers = append(numbers, r.Uint64()>>r.IntN(64))
	}
	for _, op := range []Op{Div, Mod, Sdiv, Smod} {
		for _, size := range []uint8{4, 8} {
			for _, by := range numbers {
				for _, width := range []uint8{0, 17, 31, 32, 33, 63} {
					if width != 0 && (op >= Sdiv || size == 4 && width > 32) {
						continue
					}
					for _, a := range [2]Var{1, 0} { // into another variable, and in place
						divided(t, Ins{Op: op, Size: size, Dst: 0, A: a, B: None, C: None, Imm: wordOf(int64(by), size), N: width}, numbers)
					}
				}
			}
		}
	}
}

// divided compares a division with what becomes of it.
func divided(t *testing.T, i Ins, numbers []uint64) {
	t.Helper()
	f := &Func{Vars: FirstFree, Blocks: []Block{{Ins: []Ins{i, ret()}, Succ: [2]int32{-1, -1}}}}
	f.Divide()
	steps := f.Blocks[0].Ins
	if n := uint64(i.Imm) & ones(i.Size); isDivision(steps[0].Op) && n&(n-1) != 0 {
		t.Fatalf("%s stays", &i)
	}
	if len(steps) > 2+maxDivision {
		t.Fatalf("%s becomes %d instructions", &i, len(steps)-1)
	}
	e := activation{evaluator: &evaluator{t: t}, f: f}
	for n, x := range numbers {
		if i.N != 0 {
			x &= 1<<i.N - 1
		}
		if i.N == 0 && i.Size == 4 {
			x |= uint64(n) << 32 // does not count
		}
		e.vars[i.A] = x
		for k := range steps[:len(steps)-1] {
			e.step(&steps[k])
		}
		if want := arithmetic(i.Op, i.Size, x, uint64(i.Imm)) & ones(i.Size); e.vars[0] != want {
			t.Fatalf("%s of %#x (%d bits) is %#x, want %#x\n%s", &i, x, i.N, e.vars[0], want, f)
		}
	}
}

func TestDivideText(t *testing.T) {
	for _, r := range []rewriting{
		{"by a number", `
			r0 = r1 / 10`, `
			r0 = r1 mulhi -3689348814741910323
			r0 = r0 >> 3`},
		{"that has all digits", `
			r0 = r1 / 7`, `
			r11 = r1 mulhi 2635249153387078803
			r0 = r1 - r11
			r0 = r0 >> 1
			r0 = r0 + r11
			r0 = r0 >> 2`},
		{"of few bits", `
			r1 = load2 [r1+0]
			w0 = w1 / 7`, `
			r1 = load2 [r1+0]
			r0 = r1 * 74899
			r0 = r0 >> 19`},
		{"remainder in place", `
			w1 = w1 % 1000
			r0 = r1`, `
			r12 = zext4 r1
			r12 = r12 * 274877907
			r12 = r12 >> 38
			w12 = w12 * 1000
			w1 = w1 - w12
			r0 = r1`},
		{"signed", `
			w0 = w1 s/ -10`, `
			r0 = sext4 r1
			r11 = r0 s>> 63
			r0 = r0 * 3435973837
			r0 = r0 s>> 35
			r0 = r0 - r11
			r0 = -r0
			r0 = zext4 r0`},
	} {
		r.run(t, (*Func).Fold, (*Func).Divide, (*Func).Sweep)
	}
}
