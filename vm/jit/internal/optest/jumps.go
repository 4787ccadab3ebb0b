package optest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/vm/jit/abi"
	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// Jumps goes at random through blocks of many sizes, with jumps over few bytes and
// over many.
func (b *Backend) Jumps(t *testing.T) {
	r := rand.New(rand.NewPCG(testenv.Seed(t), 2))
	for _, name := range slices.Sorted(maps.Keys(b.Emit)) {
		for _, longest := range []int{1, 3, 12, 40} {
			t.Run(fmt.Sprintf("%s/%d", name, longest), func(t *testing.T) {
				const steps = 10_000
				f := b.maze(r, longest)
				code, err := b.Emit[name](&ir.Program{Funcs: []*ir.Func{f}})
				if err != nil {
					t.Fatal(err)
				}
				n := b.native(t, code)
				n.ctx.Args[0] = steps
				got := n.run(0, func(c *abi.Context) { t.Fatalf("leaves with %d", c.Exit) })
				if want := walk(f, steps); got != want {
					t.Errorf("gives %#x, not %#x", got, want)
				}
			})
		}
	}
}

// What a block of a maze does to R0, before it adds its number.
const stir = 0x5851f42d4c957f2d

// maze makes a function whose blocks change R0 and go on as it has it, until R1 has
// counted them down.
func (b *Backend) maze(r *rand.Rand, longest int) *ir.Func {
	const blocks = 200
	f := b.builder()
	imm := func(op ir.Op, v ir.Var, n int64) ir.Ins {
		return ir.Ins{Op: op, Size: 8, Dst: v, A: v, B: ir.None, C: ir.None, Imm: n}
	}
	f.add(ir.Ins{Op: ir.Const, Size: 8, Dst: 0, A: ir.None, B: ir.None, C: ir.None})
	f.end(ir.Ins{Op: ir.Jump, Dst: ir.None, A: ir.None, B: ir.None, C: ir.None}, 1)
	for k := int32(1); k <= blocks; k++ {
		f.add(imm(ir.Mul, 0, stir))
		f.add(imm(ir.Add, 0, int64(k)))
		f.add(imm(ir.Sub, 1, 1))
		for range r.IntN(longest) {
			f.add(ir.Ins{Op: ir.Const, Size: 8, Dst: 2, A: ir.None, B: ir.None, C: ir.None, Imm: 0x123456789a})
		}
		end := ir.Ins{Op: ir.Branch, Size: 8, Cond: ir.TestSet, Dst: ir.None, A: 0, B: ir.None, C: ir.None, Imm: 1 << r.IntN(64)}
		ahead := func() int32 { return k + 1 + r.Int32N(blocks+1-k) }
		to := [2]int32{ahead(), ahead()}
		switch r.IntN(4) {
		case 0:
			to[0] = k + 1
		case 1:
			to[1] = k + 1
		case 2: // only here it goes back
			end.Cond, end.A, end.Imm = ir.Sgt, 1, 0
			to = [2]int32{1 + r.Int32N(blocks), blocks + 1}
		}
		f.end(end, to[:]...)
	}
	f.end(ir.Ins{Op: ir.Return})
	return &f.Func
}

// walk is what a maze gives.
func walk(f *ir.Func, steps uint64) (r0 uint64) {
	at := int32(1)
	for {
		b := &f.Blocks[at]
		i := b.End()
		if i.Op == ir.Return {
			return r0
		}
		r0 = r0*stir + uint64(at)
		steps--
		a, goes := r0, 1
		if i.A == 1 {
			a = steps
		}
		if holds(i.Cond, i.Size, a, uint64(i.Imm)) {
			goes = 0
		}
		at = b.Succ[goes]
	}
}
