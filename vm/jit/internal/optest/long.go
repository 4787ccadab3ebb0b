package optest

import (
	"fmt"
	"testing"

	"github.com/skep-ebpf/skep/vm/jit/abi"
	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// Long runs functions of so many instructions, with jumps from one end to the other.
func (b *Backend) Long(t *testing.T, sizes ...int) {
	for name, emit := range b.Emit {
		for _, size := range sizes {
			t.Run(fmt.Sprintf("%s/%d", name, size), func(t *testing.T) {
				code, err := emit(&ir.Program{Funcs: []*ir.Func{b.long(size)}})
				if err != nil {
					t.Fatal(err)
				}
				n := b.native(t, code)
				for bit := range uint64(2) {
					n.ctx.Args[0], n.ctx.Budget = bit<<5, 1
					left := 0
					r0 := n.run(0, func(c *abi.Context) {
						c.Budget++
						left++
					})
					// Without the bit, there are three rounds, and a look whether there is a fourth.
					// Two of the rounds take fuel at their end, too, and there is enough for one.
					want, exits := uint64(0), 0
					if bit == 0 {
						want, exits = 3*uint64(size), 4+2-1
					}
					if r0 != want || left != exits {
						t.Errorf("with bit %d: gives %d and leaves %d times, not %d and %d", bit, r0, left, want, exits)
					}
				}
			})
		}
	}
}

// long makes the function: a branch over everything, and a loop around everything.
func (b *Backend) long(size int) *ir.Func {
	f := b.builder()
	f.Leaves = true
	number := func(v ir.Var) {
		f.add(ir.Ins{Op: ir.Const, Size: 8, Dst: v, A: ir.None, B: ir.None, C: ir.None})
	}
	add := func(v ir.Var) {
		f.add(ir.Ins{Op: ir.Add, Size: 8, Dst: v, A: v, B: ir.None, C: ir.None, Imm: 1})
	}
	branch := func(a ir.Var, c ir.Cond, imm int64, succ ...int32) {
		f.end(ir.Ins{Op: ir.Branch, Size: 8, Cond: c, Dst: ir.None, A: a, B: ir.None, C: ir.None, Imm: imm}, succ...)
	}
	number(0)
	number(2)
	fuel := ir.Ins{Op: ir.Fuel, Dst: ir.None, A: ir.None, B: ir.None, C: ir.None, Imm: 1, Live: f.Registers(0b111)}
	branch(1, ir.TestSet, 1<<5, 4, 1)
	f.add(fuel)
	branch(2, ir.Eq, 3, 4, 2)
	add(2)
	for range size {
		add(0)
	}
	branch(2, ir.TestClear, 1, 1, 3)
	f.add(fuel)
	f.end(ir.Ins{Op: ir.Jump}, 1)
	f.end(ir.Ins{Op: ir.Return})
	return &f.Func
}
