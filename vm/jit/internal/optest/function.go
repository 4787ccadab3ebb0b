package optest

import (
	"unsafe"

	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// The functions at the program's front. A Call may be of one that changes few
// registers, one that changes many, and one that leaves native code; a tail call of
// the one that gives R1.
const (
	few = iota
	many
	leaver
	callees
	first    = callees
	ordinary = first + 1 // where those of instructions begin
)

const leaverHelper = 77

// sum is what the first two give: a number that depends on the order of R1 to R5.
func sum(args []uint64) (r0 uint64) {
	for _, a := range args {
		r0 = r0*31 + a
	}
	return r0
}

// variables gives variables to all registers there are.
func (b *Backend) variables() (vars []ir.Var, regs [64]ir.Reg) {
	for v := range regs {
		regs[v] = ir.NoReg
	}
	free := b.Target.Free
	for v := ir.Var(0); len(free) > 0; v++ {
		switch {
		case v < 6:
			regs[v] = b.Target.Fixed[v]
		case v == ir.Frame:
			continue
		default:
			regs[v], free = free[0], free[1:]
		}
		vars = append(vars, v)
	}
	regs[ir.Scratch0], regs[ir.Scratch1] = b.Target.Scratch[0], b.Target.Scratch[1]
	return append(vars, ir.Scratch0, ir.Scratch1), regs
}

// builder makes a function.
type builder struct {
	ir.Func
	ins []ir.Ins
}

func (b *Backend) builder() *builder {
	f := &builder{Func: ir.Func{Name: "test", Params: 5}}
	f.Vars = 40
	_, f.Regs = b.variables()
	return f
}

func (f *builder) end(i ir.Ins, succ ...int32) {
	b := ir.Block{Ins: append(f.ins, i), Succ: [2]int32{-1, -1}}
	copy(b.Succ[:], succ)
	f.Blocks, f.ins = append(f.Blocks, b), nil
}

func (f *builder) add(i ir.Ins) { f.ins = append(f.ins, i) }

func (f *builder) load(dst, a ir.Var, off int32) {
	f.add(ir.Ins{Op: ir.Load, Size: 8, Width: 8, Dst: dst, A: a, B: ir.None, C: ir.None, Off: off})
}

func (f *builder) store(a ir.Var, off int32, c ir.Var) {
	f.add(ir.Ins{Op: ir.Store, Size: 8, Width: 8, Dst: ir.None, A: a, B: ir.None, C: c, Off: off})
}

func (f *builder) number(a ir.Var, off int32, imm int64) {
	f.add(ir.Ins{Op: ir.Store, Size: 8, Width: 8, Dst: ir.None, A: a, B: ir.None, C: ir.None, Off: off, Imm: imm})
}

// callee makes one of the functions that are called.
func (b *Backend) callee(n int) *ir.Func {
	f := b.builder()
	switch n {
	case first:
		f.add(ir.Ins{Op: ir.Mov, Size: 8, Dst: 0, A: 1, B: ir.None, C: ir.None})
		f.end(ir.Ins{Op: ir.Return})
		return &f.Func
	case leaver:
		f.Leaves = true
		f.add(ir.Ins{Op: ir.Helper, Dst: 0, A: ir.None, B: ir.None, C: ir.None, N: 5, Imm: leaverHelper})
		f.end(ir.Ins{Op: ir.Return})
		return &f.Func
	}
	change := 2
	if n == many {
		change = len(b.Target.Free) - 2
	}
	f.add(ir.Ins{Op: ir.Const, Size: 8, Dst: 0, A: ir.None, B: ir.None, C: ir.None})
	for v := ir.Var(1); v < 6; v++ {
		f.add(ir.Ins{Op: ir.Mul, Size: 8, Dst: 0, A: 0, B: ir.None, C: ir.None, Imm: 31})
		f.add(ir.Ins{Op: ir.Add, Size: 8, Dst: 0, A: 0, B: v, C: ir.None})
	}
	f.Clobbers = 1 << b.Target.Fixed[0]
	vars, regs := b.variables()
	for _, v := range vars[6:][:change] {
		f.add(ir.Ins{Op: ir.Const, Size: 8, Dst: v, A: ir.None, B: ir.None, C: ir.None, Imm: int64(v) * 0x1234567})
		f.Clobbers |= 1 << regs[v]
	}
	f.end(ir.Ins{Op: ir.Return})
	return &f.Func
}

// Where things are below Frame.
const (
	atShared = -8
	atWent   = -16
	atVars   = atWent - 8*64
	fixed    = -atVars + 8*ownWords // bytes of frame memory, with own at the lower end
)

// around makes a function that loads all variables, does instructions, and stores
// all variables. It has some bytes more of frame memory than it needs. Of the ways that a
// branch can go, the next block is the first, the second, or none.
func (b *Backend) around(ins []ir.Ins, more, order int) *ir.Func {
	f := b.builder()
	f.Frame = fixed + more
	f.Leaves = ins[0].Leaves()
	vars, _ := b.variables()
	own := func(k int) int32 { return int32(8*k - f.Frame) }

	f.store(ir.Frame, atShared, 1)
	f.add(ir.Ins{Op: ir.Mov, Size: 8, Dst: 0, A: ir.Frame, B: ir.None, C: ir.None})
	f.store(1, int32(unsafe.Offsetof(shared{}.frame)), 0)
	for k := range ownWords {
		f.load(0, 1, int32(unsafe.Offsetof(shared{}.own))+8*int32(k))
		f.store(ir.Frame, own(k), 0)
	}
	for _, v := range vars {
		if v != 1 {
			f.load(v, 1, 8*int32(v))
		}
	}
	f.load(1, 1, 8)
	f.ins = append(f.ins, ins...)
	if ins[0].Op != ir.Branch {
		f.store(ir.Frame, atVars+8*int32(ir.Scratch0), ir.Scratch0)
		f.store(ir.Frame, atVars+8*int32(ir.Scratch1), ir.Scratch1)
		f.add(ir.Ins{Op: ir.Jump})
	}
	last := f.ins[len(f.ins)-1]
	f.ins = f.ins[:len(f.ins)-1]
	f.end(last, [][]int32{{1, 2}, {2, 1}, {2, 3}}[order]...)
	for _, went := range [][]int64{{1, 2, 0}, {2, 1, 0}, {0, 1, 2}}[order] {
		f.number(ir.Frame, atWent, went)
		f.end(ir.Ins{Op: ir.Jump}, 4)
	}

	for _, v := range vars[:len(vars)-2] {
		f.store(ir.Frame, atVars+8*int32(v), v)
	}
	f.load(1, ir.Frame, atShared)
	for _, v := range vars {
		f.load(0, ir.Frame, atVars+8*int32(v))
		f.store(1, 8*int32(v), 0)
	}
	f.load(0, ir.Frame, atWent)
	f.store(1, int32(unsafe.Offsetof(shared{}.went)), 0)
	f.add(ir.Ins{Op: ir.Lea, Size: 8, Dst: 2, A: ir.Frame, B: ir.None, C: ir.None, Off: own(0)})
	for k := range ownWords {
		f.load(0, 2, 8*int32(k))
		f.store(1, int32(unsafe.Offsetof(shared{}.own))+8*int32(k), 0)
	}
	f.add(ir.Ins{Op: ir.Const, Size: 8, Dst: 0, A: ir.None, B: ir.None, C: ir.None, Imm: returned})
	f.end(ir.Ins{Op: ir.Return})
	return &f.Func
}

// What functions return: those around an instruction, and what their callers add.
const (
	returned = 0x1234
	found    = 0x5678_0000
)

// caller makes a function that calls another one, and finds its own frame as it was
// behind it.
func (b *Backend) caller(fn int) *ir.Func {
	f := b.builder()
	f.Frame, f.Leaves = 24, true
	f.number(ir.Frame, -24, found)
	f.add(ir.Ins{Op: ir.Call, Dst: 0, A: ir.None, B: ir.None, C: ir.None, N: 1, Imm: int64(fn)})
	f.load(1, ir.Frame, -24)
	f.add(ir.Ins{Op: ir.Add, Size: 8, Dst: 0, A: 0, B: 1, C: ir.None})
	f.end(ir.Ins{Op: ir.Return})
	return &f.Func
}
