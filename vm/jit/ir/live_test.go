package ir

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// set is a set of variables.
func set(vars ...Var) (s Set) {
	for _, v := range vars {
		s |= Of(v)
	}
	return s
}

// add, mov, number and leave are instructions on 8 bytes.
func add(dst, a, b Var) Ins { return Ins{Op: Add, Size: 8, Dst: dst, A: a, B: b, C: None} }
func mov(dst, a Var) Ins    { return Ins{Op: Mov, Size: 8, Dst: dst, A: a, B: None, C: None} }
func number(dst Var, n int64) Ins {
	return Ins{Op: Const, Size: 8, Dst: dst, A: None, B: None, C: None, Imm: n}
}
func leave(n uint8) Ins { return Ins{Op: Helper, Dst: 0, A: None, B: None, C: None, N: n} }

// jump, branch and ret end blocks.
func jump() Ins { return Ins{Op: Jump, Dst: None, A: None, B: None, C: None} }
func branch(a Var, c Cond, n int64) Ins {
	return Ins{Op: Branch, Cond: c, Size: 8, Dst: None, A: a, B: None, C: None, Imm: n}
}
func coldly(i Ins) Ins {
	i.Flag |= Cold
	return i
}
func ret() Ins { return Ins{Op: Return, Dst: None, A: None, B: None, C: None} }

func TestLiveness(t *testing.T) {
	type block struct{ In, Out Set }
	tests := map[string]struct {
		blocks []Block
		want   []block
		depth  []uint8
		cold   []bool
	}{
		"straight": {
			blocks: []Block{{Ins: []Ins{number(6, 1), add(0, 1, 6), ret()}, Succ: [2]int32{-1, -1}}},
			want:   []block{{set(1), 0}},
			depth:  []uint8{0},
		},
		"across a helper": {
			blocks: []Block{{
				Ins:  []Ins{mov(6, 1), number(7, 1), leave(2), add(0, 0, 6), ret()},
				Succ: [2]int32{-1, -1},
			}},
			want:  []block{{set(1, 2), 0}},
			depth: []uint8{0},
		},
		"loop": {
			blocks: []Block{
				{Ins: []Ins{number(6, 9), number(0, 0), jump()}, Succ: [2]int32{1, -1}},
				{Ins: []Ins{branch(6, Eq, 0)}, Succ: [2]int32{3, 2}},
				{Ins: []Ins{add(6, 6, 7), add(0, 0, 1), jump()}, Succ: [2]int32{1, -1}},
				{Ins: []Ins{ret()}, Succ: [2]int32{-1, -1}},
			},
			want: []block{
				{set(1, 7), set(0, 1, 6, 7)},
				{set(0, 1, 6, 7), set(0, 1, 6, 7)},
				{set(0, 1, 6, 7), set(0, 1, 6, 7)},
				{set(0), 0},
			},
			depth: []uint8{0, 1, 1, 0},
		},
		"nested loops": {
			blocks: []Block{
				{Ins: []Ins{jump()}, Succ: [2]int32{1, -1}},
				{Ins: []Ins{add(6, 6, 6), jump()}, Succ: [2]int32{2, -1}},
				{Ins: []Ins{branch(6, Eq, 0)}, Succ: [2]int32{2, 3}},
				{Ins: []Ins{branch(8, Eq, 0)}, Succ: [2]int32{1, 4}},
				{Ins: []Ins{number(0, 0), ret()}, Succ: [2]int32{-1, -1}},
			},
			want: []block{
				{set(6, 8), set(6, 8)},
				{set(6, 8), set(6, 8)},
				{set(6, 8), set(6, 8)},
				{set(6, 8), set(6, 8)},
				{0, 0},
			},
			depth: []uint8{0, 1, 2, 1, 0},
		},
		"cold": {
			blocks: []Block{
				{Ins: []Ins{coldly(branch(1, Eq, 0))}, Succ: [2]int32{2, 1}},
				{Ins: []Ins{number(0, 1), ret()}, Succ: [2]int32{-1, -1}},
				{Ins: []Ins{jump()}, Succ: [2]int32{1, -1}},
			},
			want:  []block{{set(1), 0}, {0, 0}, {0, 0}},
			depth: []uint8{0, 0, 0},
			cold:  []bool{false, false, true},
		},
		"laid out backwards": {
			blocks: []Block{
				{Ins: []Ins{jump()}, Succ: [2]int32{3, -1}},
				{Ins: []Ins{add(0, 6, 7), ret()}, Succ: [2]int32{-1, -1}},
				{Ins: []Ins{number(6, 1), jump()}, Succ: [2]int32{1, -1}},
				{Ins: []Ins{number(7, 1), jump()}, Succ: [2]int32{2, -1}},
			},
			want:  []block{{0, 0}, {set(6, 7), 0}, {set(7), set(6, 7)}, {0, set(7)}},
			depth: []uint8{0, 0, 0, 0},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := &Func{Blocks: test.blocks, Vars: FirstFree}
			f.Liveness()
			f.shape()
			var got []block
			var depth []uint8
			var cold []bool
			for _, b := range f.Blocks {
				got = append(got, block{b.In, b.Out})
				depth = append(depth, b.Depth)
				cold = append(cold, b.Cold)
			}
			if d := cmp.Diff(test.want, got); d != "" {
				t.Errorf("before and behind blocks (-want +got):\n%s", d)
			}
			if d := cmp.Diff(test.depth, depth); d != "" {
				t.Errorf("depths (-want +got):\n%s", d)
			}
			if d := cmp.Diff(test.cold, cold); test.cold != nil && d != "" {
				t.Errorf("cold blocks (-want +got):\n%s", d)
			}
		})
	}
}

// BenchmarkLiveness is on 400 instructions in 40 blocks.
func BenchmarkLiveness(b *testing.B) {
	f := chain(40)
	for b.Loop() {
		f.Liveness()
	}
}

// chain is a function of blocks of ten instructions each, of which each third one
// leads back to the one before it too.
func chain(blocks int) *Func {
	f := &Func{Vars: FirstFree}
	for at := range blocks {
		var ins []Ins
		for k := range 4 {
			ins = append(ins, add(Var(6+k), Var(6+(k+1)%4), 1), mov(Var(2+k), Var(6+k)))
		}
		ins = append(ins, number(0, 1))
		succ := [2]int32{int32(at + 1), -1}
		switch {
		case at == blocks-1:
			ins, succ[0] = append(ins, ret()), -1
		case at%3 == 2:
			ins, succ[1] = append(ins, branch(6, Eq, 1)), int32(at-1)
		default:
			ins = append(ins, jump())
		}
		f.Blocks = append(f.Blocks, Block{Ins: ins, Succ: succ})
	}
	return f
}
