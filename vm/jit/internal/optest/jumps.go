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
				const steps = 20_000
				f := b.maze(r, longest)
				code, err := b.Emit[name](&ir.Program{Funcs: []*ir.Func{f}})
				if err != nil {
					t.Fatal(err)
				}
				n := b.native(t, code)
				n.ctx.Args[0] = steps
				n.ctx.Budget = 0
				got := n.run(0, func(c *abi.Context) { c.Budget += 7 })
				if want := walk(f, steps); got != want {
					t.Errorf("gives %#x, not %#x", got, want)
				}
			})
		}
	}
}

// maze makes a function whose blocks do arithmetic on R2 to R5 and add their numbers up
// in R0, and go on as these have it, until R1 has counted them down.
func (b *Backend) maze(r *rand.Rand, longest int) *ir.Func {
	const blocks = 200
	f := b.builder()
	f.Leaves = true
	f.add(ir.Ins{Op: ir.Const, Size: 8, Dst: 0, A: ir.None, B: ir.None, C: ir.None})
	for v := ir.Var(2); v < 6; v++ {
		f.add(ir.Ins{Op: ir.Const, Size: 8, Dst: v, A: ir.None, B: ir.None, C: ir.None, Imm: r.Int64()})
	}
	f.end(ir.Ins{Op: ir.Jump, Dst: ir.None, A: ir.None, B: ir.None, C: ir.None}, 1)
	for k := int32(1); k <= blocks; k++ {
		how := r.IntN(6)
		if k == blocks {
			how = 2
		}
		last := ir.Ins{Dst: ir.Var(2 + r.IntN(4))}
		if how < 5 { // otherwise the block only branches
			f.add(ir.Ins{Op: ir.Mul, Size: 8, Dst: 0, A: 0, B: ir.None, C: ir.None, Imm: 31})
			f.add(ir.Ins{Op: ir.Add, Size: 8, Dst: 0, A: 0, B: ir.None, C: ir.None, Imm: int64(k)})
			f.add(ir.Ins{Op: ir.Sub, Size: 8, Dst: 1, A: 1, B: ir.None, C: ir.None, Imm: 1})
			for range 1 + r.IntN(longest) {
				last = step(r)
				f.add(last)
			}
			if r.IntN(3) == 0 {
				f.add(ir.Ins{Op: ir.Fuel, Dst: ir.None, A: ir.None, B: ir.None, C: ir.None, Imm: 1, Live: f.Registers(0x3f)})
			}
		}
		end := ir.Ins{Op: ir.Branch, Size: 4 << r.IntN(2), Cond: ir.Cond(r.IntN(int(ir.TestClear) + 1)), Dst: ir.None, A: last.Dst, B: ir.None, C: ir.None}
		if r.IntN(3) == 0 {
			end.Imm = r.Int64() >> r.IntN(64)
		}
		ahead := func() int32 {
			far := blocks - k
			if r.IntN(8) > 0 {
				far = min(far, 8)
			}
			return k + 1 + r.Int32N(far)
		}
		var to []int32
		switch how {
		case 0:
			to = []int32{k + 1, ahead()}
		case 1:
			to = []int32{ahead(), k + 1}
		case 2: // only where R1 counts it goes back
			end.Size, end.Cond, end.A, end.Imm = 8, ir.Sgt, 1, 0
			to = []int32{1 + r.Int32N(blocks), blocks + 1}
		case 3:
			end.Op, to = ir.Jump, []int32{ahead()}
		default:
			to = []int32{ahead(), ahead()}
		}
		f.end(end, to...)
	}
	f.end(ir.Ins{Op: ir.Return})
	return &f.Func
}

// step is an operation on R2 to R5. Now and then R0 brings them something new.
func step(r *rand.Rand) ir.Ins {
	pick := func() ir.Var { return ir.Var(2 + r.IntN(4)) }
	i := ir.Ins{Op: ir.Add + ir.Op(r.IntN(int(ir.Sar-ir.Add)+1)), Size: 4 << r.IntN(2), Dst: pick(), B: pick(), C: ir.None}
	if r.IntN(4) == 0 {
		i.B = 0
	}
	if i.A = i.Dst; r.IntN(3) == 0 {
		i.A = pick()
	}
	switch r.IntN(4) {
	case 0:
		i.B, i.Imm = ir.None, r.Int64()>>r.IntN(64)
	case 1:
		i.B, i.Imm = ir.None, 1<<r.IntN(64)
	}
	return i
}

// walk is what a maze gives.
func walk(f *ir.Func, steps uint64) uint64 {
	vars := [6]uint64{1: steps}
	second := func(i *ir.Ins) uint64 {
		if i.B == ir.None {
			return uint64(i.Imm)
		}
		return vars[i.B]
	}
	for at := int32(0); ; {
		b := &f.Blocks[at]
		for k := range b.Ins {
			switch i := &b.Ins[k]; i.Op {
			case ir.Fuel:
			case ir.Jump:
				at = b.Succ[0]
			case ir.Return:
				return vars[0]
			case ir.Branch:
				if at = b.Succ[1]; holds(i.Cond, i.Size, vars[i.A], second(i)) {
					at = b.Succ[0]
				}
			case ir.Const:
				vars[i.Dst] = uint64(i.Imm)
			default:
				vars[i.Dst] = arithmetic(i, vars[i.A], second(i)) & mask(i.Size)
			}
		}
	}
}
