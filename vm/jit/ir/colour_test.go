package ir

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// narrow and wide are targets with few and with many registers.
var (
	narrow = Target{Fixed: [6]Reg{0, 7, 6, 2, 1, 8}, Free: []Reg{3}, Scratch: [2]Reg{10, 11}, All: 0xdff}
	wide   = Target{Fixed: [6]Reg{0, 7, 6, 2, 1, 8}, Free: []Reg{3, 5, 13, 14, 12, 9}, Scratch: [2]Reg{10, 11}, All: 0x7fef}
)

// same checks that a program does after a pass what it did before.
func same(t *testing.T, seed uint64, target *Target, pass func(*Program)) {
	t.Helper()
	args := []uint64{seed, ^seed, 7}
	r0, trace := (&evaluator{t: t, prog: newRandom(seed)}).run(args...)
	after := newRandom(seed)
	pass(after)
	got, gotTrace := (&evaluator{t: t, prog: after, coloured: target != nil, target: target}).run(args...)
	if r0 != got || !slices.Equal(trace, gotTrace) {
		t.Errorf("program %d gives %#x, not %#x; seen outside (-want +got):\n%s", seed, got, r0, cmp.Diff(trace, gotTrace))
	}
}

func TestColourRandom(t *testing.T) {
	for seed := range uint64(1000) {
		for _, target := range []*Target{&narrow, &wide} {
			same(t, seed, target, func(p *Program) {
				for _, f := range p.Funcs {
					f.Liveness()
				}
				p.Colour(target)
			})
		}
		if t.Failed() {
			return
		}
	}
}

func TestColour(t *testing.T) {
	loop := func(ins ...Ins) []Block {
		return []Block{
			{Ins: []Ins{number(6, 9), number(7, 9), number(8, 9), number(9, 9), jump()}, Succ: [2]int32{1, -1}},
			{Ins: append(ins, branch(7, Ne, 0)), Succ: [2]int32{1, 2}},
			{Ins: []Ins{add(0, 6, 7), add(0, 0, 8), add(0, 0, 9), ret()}, Succ: [2]int32{-1, -1}},
		}
	}
	one := func(ins ...Ins) []Block { return []Block{{Ins: append(ins, ret()), Succ: [2]int32{-1, -1}}} }
	keeps := wide
	keeps.FuelKeeps = true
	tests := map[string]struct {
		blocks   []Block
		target   Target
		want     map[Var]Reg
		clobbers RegSet
	}{
		"becomes an argument": {
			one(mov(6, 2), number(0, 1), add(0, 0, 6)), wide, map[Var]Reg{6: 6}, 1<<6 | 1,
		},
		"lives beside it": {
			one(mov(6, 2), add(6, 6, 6), add(0, 6, 2)), wide, map[Var]Reg{6: 0}, 1,
		},
		"does not change": {
			one(mov(6, 1), number(0, 1), add(0, 6, 0), add(0, 0, 1)), wide, map[Var]Reg{6: 7}, 1<<7 | 1,
		},
		"read more often than saved": {
			one(mov(6, 1), add(6, 6, 6), add(6, 6, 6), leave(0), add(0, 6, 0)), wide, map[Var]Reg{6: 7}, wide.All,
		},
		"saved more often than read": {
			one(mov(6, 1), leave(0), leave(0), leave(0), add(0, 6, 0)), wide, map[Var]Reg{6: NoReg}, wide.All,
		},
		"read in the loop": {
			loop(add(8, 8, 7), add(7, 7, 7)),
			Target{Fixed: wide.Fixed, Free: []Reg{3}, Scratch: wide.Scratch, All: wide.All},
			map[Var]Reg{7: 3}, 0,
		},
		"fuel changes all registers": {
			blocks:   one(Ins{Op: Fuel, Dst: None, A: None, B: None, C: None, Imm: 1}, number(0, 1)),
			target:   wide,
			clobbers: wide.All,
		},
		"fuel keeps them": {
			blocks:   one(Ins{Op: Fuel, Dst: None, A: None, B: None, C: None, Imm: 1}, number(0, 1)),
			target:   keeps,
			clobbers: 1 << wide.Fixed[0],
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := &Func{Blocks: test.blocks, Vars: FirstFree}
			f.Liveness()
			(&Program{Funcs: []*Func{f}}).Colour(&test.target)
			for v, r := range test.want {
				if f.Regs[v] != r {
					t.Errorf("variable %d has register %d, not %d", v, f.Regs[v], r)
				}
			}
			if got := f.Clobbers &^ (1<<10 | 1<<11); test.clobbers != 0 && got != test.clobbers&^(1<<10|1<<11) {
				t.Errorf("registers %#x are changed, not %#x", got, test.clobbers)
			}
		})
	}
}

// BenchmarkColour is on 400 instructions in 40 blocks.
func BenchmarkColour(b *testing.B) {
	f := chain(40)
	f.Liveness()
	p := &Program{Funcs: []*Func{f}}
	for b.Loop() {
		p.Colour(&wide)
	}
}
