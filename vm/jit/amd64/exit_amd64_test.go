package amd64

import (
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/jit/abi"
	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// allVars are the variables that may live across something.
const allVars ir.Set = 0x1bff

// leaving is an instruction that leaves, with anything for operands.
func (r random) leaving(op ir.Op) ir.Ins {
	pick := func() ir.Var {
		if r.IntN(4) == 0 {
			return ir.None
		}
		return r.pick()
	}
	i := ir.Ins{Op: op, Dst: 0, A: ir.None, B: ir.None, C: ir.None, N: uint8(r.IntN(6)), At: r.Int32()}
	switch op {
	case ir.Helper:
		i.Imm = int64(r.IntN(300))
	case ir.CallX:
		i.A = r.pick()
	case ir.Slow:
		i.A, i.B, i.C, i.Dst = pick(), pick(), pick(), pick()
	case ir.Packet:
		i.A, i.B = r.pick(), pick()
	case ir.Fuel:
		i.Dst, i.Imm = ir.None, 1+int64(r.IntN(300))
	}
	i.Live = ir.Set(r.Uint64()) & allVars &^ i.Kills()
	if op == ir.Fuel {
		i.Live = allVars // whatever lives
	}
	return i
}

// TestExits leaves native code in all ways, and looks at what Go gets and what native
// code has when it goes on.
func TestExits(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := random{rand.New(rand.NewPCG(seed, 2))}
	block, err := mem.New(uint64(unsafe.Sizeof(state{})))
	if err != nil {
		t.Fatal(err)
	}
	defer block.Free()
	s := (*state)(mem.At(block.Addr()))

	var p ir.Program
	var all []ir.Ins
	for op := ir.Helper; op <= ir.Fuel; op++ {
		for range 200 {
			i := r.leaving(op)
			all = append(all, i)
			p.Funcs = append(p.Funcs, around(i))
		}
	}
	n := newNative(t, &p, Options{})
	for k := range all {
		i := &all[k]
		for v := range s.in {
			s.in[v] = r.number()
		}
		n.ctx.Budget = int64(r.IntN(300))
		left := n.ctx.Budget
		if i.Op == ir.Fuel {
			left -= i.Imm
		}
		exits, r0 := 0, r.Uint64()
		serve := func(c *abi.Context) bool {
			exits++
			value := func(v ir.Var, else_ uint64) uint64 {
				if v == ir.None {
					return else_
				}
				return s.in[v]
			}
			a := &c.Args
			want := [5]uint64{s.in[1], s.in[2], s.in[3], s.in[4], s.in[5]}
			arg, exit := uint64(uint32(i.At)), abi.ExitFuel
			switch i.Op {
			case ir.Helper:
				arg, exit = uint64(i.Imm), abi.ExitHelper
			case ir.CallX:
				arg, exit = s.in[i.A], abi.ExitCallX
			case ir.TailCall:
				exit = abi.ExitTailCall
			case ir.Slow:
				exit = abi.ExitSlow
				want = [5]uint64{value(i.A, a[0]), value(i.C, a[1]), value(i.B, a[2]), a[3], a[4]}
			case ir.Packet:
				exit = abi.ExitPacket
				want = [5]uint64{s.in[i.A], value(i.B, a[1]), a[2], a[3], a[4]}
			case ir.Fuel:
				want = *a
			}
			if diff := cmp.Diff(want, *a); diff != "" || c.Arg != arg || int(c.Exit) != exit || c.Budget != left {
				t.Fatalf("%+v: exit %d, argument %d, budget %d, not %d, %d, %d (-want +got)\n%s", i, c.Exit, c.Arg, c.Budget, exit, arg, left, diff)
			}
			c.R0, c.Arg = r0, 0
			return true
		}
		n.run(k, serve, uint64(block.Addr()))
		if want := i.Op != ir.Fuel || left < 0; want != (exits == 1) {
			t.Fatalf("%+v: %d exits with %d left", i, exits, left)
		}
		want := s.in
		if i.Dst != ir.None {
			want[i.Dst] = r0
		}
		live := i.Live
		if i.Dst < ir.Scratch0 {
			live |= ir.Of(i.Dst)
		}
		for v := range vars {
			if live.Has(v) && s.out[v] != want[v] {
				t.Fatalf("%+v: variable %d is %#x, not %#x", i, v, s.out[v], want[v])
			}
		}
	}
}

// TestCalls calls functions that change some registers, with some variables live.
func TestCalls(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := random{rand.New(rand.NewPCG(seed, 3))}
	block, err := mem.New(uint64(unsafe.Sizeof(state{})))
	if err != nil {
		t.Fatal(err)
	}
	defer block.Free()
	s := (*state)(mem.At(block.Addr()))
	var p ir.Program
	live := make([]ir.Set, 0, 400)
	for k := range 200 {
		callee := &ir.Func{Name: "callee", Vars: 13, Frame: 8 * r.IntN(3)}
		callee.Blocks = []ir.Block{{Succ: [2]int32{-1, -1}}}
		for v, reg := range vars {
			callee.Regs[v] = reg
			if v == 0 || r.IntN(2) == 0 {
				callee.Clobbers |= 1 << reg
				callee.Blocks[0].Ins = append(callee.Blocks[0].Ins, ir.Ins{Op: ir.Const, Size: 8, Dst: v, Imm: int64(7 + v)})
			}
		}
		callee.Blocks[0].Ins = append(callee.Blocks[0].Ins, ir.Ins{Op: ir.Return})
		i := ir.Ins{Op: ir.Call, Dst: 0, A: ir.None, B: ir.None, C: ir.None, Imm: int64(2 * k), Live: ir.Set(r.Uint64()) & allVars &^ 1}
		p.Funcs = append(p.Funcs, callee, around(i))
		live = append(live, 0, i.Live)
	}
	n := newNative(t, &p, Options{})
	for k := 1; k < len(p.Funcs); k += 2 {
		inner, outer := n.out.Stacks[k-1], n.out.Stacks[k]
		if least := uint32(8 + p.Funcs[k-1].Frame); inner != least || outer < least+8+frameBytes {
			t.Errorf("function %d takes %d bytes of stack, %d of them for the function that it calls, which has a frame of %d", k, outer, inner, least)
		}
		for v := range s.in {
			s.in[v] = r.number()
		}
		n.run(k, nil, uint64(block.Addr()))
		for v := range vars {
			if live[k].Has(v) && s.out[v] != s.in[v] || v == 0 && s.out[v] != 7 {
				t.Fatalf("function %d: variable %d is %#x, not %#x", k, v, s.out[v], s.in[v])
			}
		}
	}
}

// one makes a program of one block.
func one(frame int, ins ...ir.Ins) *ir.Program {
	return &ir.Program{Funcs: []*ir.Func{{Name: "test", Frame: frame, Blocks: []ir.Block{{Ins: ins, Succ: [2]int32{-1, -1}}}}}}
}

// TestTailCall has one program go on in another.
func TestTailCall(t *testing.T) {
	p := one(24,
		ir.Ins{Op: ir.TailCall, Dst: 0, A: ir.None, B: ir.None, C: ir.None, N: 3, At: 5},
		ir.Ins{Op: ir.Const, Dst: 0, Size: 8, Imm: 1},
		ir.Ins{Op: ir.Return})
	next := one(8, ir.Ins{Op: ir.Mov, Dst: 0, A: 1, Size: 8}, ir.Ins{Op: ir.Return}).Funcs[0]
	p.Funcs = append(p.Funcs, next)
	n := newNative(t, p, Options{})
	for to, want := range map[uintptr]uint64{0: 1, n.addr(n.out.Entries[1]): 42, n.addr(n.out.Return): 99} {
		got := n.run(0, func(c *abi.Context) bool {
			c.Arg, c.Args[0], c.R0 = uint64(to), 42, 99
			return c.Exit == abi.ExitTailCall
		}, 17)
		if got != want {
			t.Errorf("going on at %#x gives %d, not %d", to, got, want)
		}
	}
}

// TestPacket has a packet load end a function.
func TestPacket(t *testing.T) {
	n := newNative(t, one(24,
		ir.Ins{Op: ir.Packet, Dst: 0, A: 1, B: ir.None, C: ir.None, At: 5},
		ir.Ins{Op: ir.Const, Dst: 0, Size: 8, Imm: 1},
		ir.Ins{Op: ir.Return}), Options{})
	for _, ends := range []uint64{0, 1} {
		got := n.run(0, func(c *abi.Context) bool {
			c.Arg, c.R0 = ends, 0
			return c.Exit == abi.ExitPacket
		}, 17)
		if got != 1-ends {
			t.Errorf("with %d gives %d", ends, got)
		}
	}
}

// TestTrap leaves for good.
func TestTrap(t *testing.T) {
	n := newNative(t, one(24, ir.Ins{Op: ir.Trap, At: 12}), Options{})
	c := n.ctx
	c.SP, c.Func = n.top, n.addr(n.out.Entries[0])
	n.enter(uintptr(unsafe.Pointer(c)), n.addr(n.out.Enter))
	if c.Exit != abi.ExitTrap || c.Arg != 12 {
		t.Errorf("leaves with exit %d, argument %d", c.Exit, c.Arg)
	}
}

// TestContext asks for the context's address.
func TestContext(t *testing.T) {
	n := newNative(t, one(24, ir.Ins{Op: ir.Context, Dst: 0}, ir.Ins{Op: ir.Return}), Options{})
	if got, want := n.run(0, nil), uint64(uintptr(unsafe.Pointer(n.ctx))); got != want {
		t.Errorf("gives %#x, not %#x", got, want)
	}
}

// TestJumps goes through blocks of many sizes, near and far.
func TestJumps(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := random{rand.New(rand.NewPCG(seed, 4))}
	for _, longest := range []int{1, 3, 12, 40} {
		const blocks = 200
		f := &ir.Func{Name: "test"}
		for k := range blocks {
			ins := []ir.Ins{
				{Op: ir.Mul, Size: 8, Dst: 0, A: 0, B: ir.None, Imm: 0x5851f42d4c957f2d},
				{Op: ir.Add, Size: 8, Dst: 0, A: 0, B: ir.None, Imm: int64(k + 1)},
				{Op: ir.Sub, Size: 8, Dst: 1, A: 1, B: ir.None, Imm: 1},
			}
			for range r.IntN(longest) {
				ins = append(ins, ir.Ins{Op: ir.Const, Size: 8, Dst: 2, Imm: 0x123456789a})
			}
			b := ir.Block{Succ: [2]int32{r.Int32N(blocks), r.Int32N(blocks)}}
			switch k % 4 {
			case 0: // as long as R1 is not 0
				b.Succ[1] = blocks
				ins = append(ins, ir.Ins{Op: ir.Branch, Cond: ir.Sgt, Size: 8, A: 1, B: ir.None})
			case 1:
				b.Succ[1] = -1
				ins = append(ins, ir.Ins{Op: ir.Jump})
				b.Succ[0] = int32(k + 3) // a multiple of 4
			case 2:
				b.Succ[1] = int32(k + 2)
				b.Succ[0] &^= 3
				fallthrough
			default:
				if k%4 == 3 {
					b.Succ[0] = int32(k + 1)
					b.Succ[1] &^= 3
				}
				ins = append(ins, ir.Ins{Op: ir.Branch, Cond: ir.TestSet, Size: 8, A: 0, B: ir.None, Imm: 1 << 40})
			}
			b.Ins = ins
			f.Blocks = append(f.Blocks, b)
		}
		f.Blocks = append(f.Blocks, ir.Block{Ins: []ir.Ins{{Op: ir.Return}}, Succ: [2]int32{-1, -1}})
		f.Blocks[0].Ins = append([]ir.Ins{{Op: ir.Const, Size: 8, Dst: 0}}, f.Blocks[0].Ins...)
		n := newNative(t, &ir.Program{Funcs: []*ir.Func{f}}, Options{})
		want, left := uint64(0), int64(10_000)
		at := int32(0)
		for at != blocks {
			if at == 0 {
				want = 0
			}
			want = want*0x5851f42d4c957f2d + uint64(at) + 1
			left--
			b := &f.Blocks[at]
			i := b.End()
			to := 0
			if i.Op == ir.Branch && !holds(i.Cond, 8, [2]uint64{want, uint64(left)}[i.A], uint64(i.Imm)) {
				to = 1
			}
			at = b.Succ[to]
		}
		if got := n.run(0, nil, 10_000); got != want {
			t.Errorf("blocks of up to %d instructions: gives %#x, not %#x", longest, got, want)
		}
	}
}
