package optest

import (
	"math"
	"math/rand/v2"

	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// edges are numbers at which arithmetic or an encoding goes wrong.
var edges = []uint64{
	0, 1, 2, 3, 5, 7, 8, 31, 32, 33, 63, 64, 127, 128, 129, 255, 256, 4095, 4096, 4097, 32760, 32768, 1<<16 - 1, 1 << 16,
	0xfff000, 0x1000000, 1<<31 - 1, 1 << 31, 1<<31 + 1, 1<<32 - 1, 1 << 32, 1<<32 + 1, 1 << 40, 1<<63 - 1, 1 << 63, 1<<63 + 1,
	math.MaxUint64, math.MaxUint64 - 1, 0xffff_ffff_8000_0000, 0xffff_ffff_7fff_ffff, 0xffff_ffff_ffff_ff80, 0xffff_ffff_ffff_ff7f,
	0xffff_ffff_ffff_f000, 0xffff_ffff_0000_0000, 0x8000_0000_8000_0000, 0x5555_5555_5555_5555, 0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210,
}

// random makes instructions.
type random struct {
	*rand.Rand
	vars []ir.Var   // the last two are the scratches
	regs [64]ir.Reg // by variable
}

func (r *random) number() uint64 {
	switch r.IntN(8) {
	case 0:
		return r.Uint64()
	case 1:
		return r.Uint64() >> r.IntN(64)
	case 2:
		return (1<<(1+r.IntN(63)) - 1) << r.IntN(64)
	}
	return edges[r.IntN(len(edges))]
}

// half is true every other time.
func (r *random) half() bool { return r.IntN(2) == 0 }

// pick is a variable; often one with a register that is special.
func (r *random) pick() ir.Var {
	switch r.IntN(4) {
	case 0:
		return ir.Var(r.IntN(6))
	case 1:
		return r.vars[len(r.vars)-1-r.IntN(2)]
	}
	return r.vars[r.IntN(len(r.vars))]
}

// other is a variable that is not v.
func (r *random) other(v ir.Var) ir.Var {
	for {
		if u := r.pick(); u != v {
			return u
		}
	}
}

// notScratch1 replaces Scratch1, which an instruction with an immediate does not use.
func (r *random) notScratch1(vars ...*ir.Var) {
	for _, v := range vars {
		if *v == ir.Scratch1 {
			*v = r.vars[r.IntN(len(r.vars)-2)]
		}
	}
}

// instruction is one of an operation, with anything for operands. Frame is how many
// bytes of frame memory there are.
func (r *random) instruction(op ir.Op, frame int) ir.Ins {
	i := ir.Ins{Op: op, Size: 8, Width: 8, Dst: ir.None, A: ir.None, B: ir.None, C: ir.None, At: int32(r.IntN(1 << 20))}
	switch {
	case op <= ir.MulHi || op == ir.Branch:
		r.binary(&i)
	case op <= ir.Bswap:
		r.unary(&i)
	case op <= ir.Store:
		r.access(&i, frame)
	case op <= ir.StoreRelease:
		r.atomic(&i, frame)
	default:
		r.leaves(&i)
	}
	return i
}

func (r *random) size() uint8 { return 4 << r.IntN(2) }

func (r *random) width() uint8 { return 1 << r.IntN(4) }

func (r *random) binary(i *ir.Ins) {
	i.A, i.B = r.pick(), r.pick()
	if i.Op != ir.MulHi {
		i.Size = r.size()
	}
	if i.Op == ir.Branch {
		i.Cond = ir.Cond(r.IntN(int(ir.TestClear) + 1))
	} else {
		i.Dst = r.pick()
	}
	if r.half() {
		i.B, i.Imm = ir.None, int64(r.number())
		r.notScratch1(&i.A)
		if i.Dst != ir.None {
			r.notScratch1(&i.Dst)
		}
	}
}

func (r *random) unary(i *ir.Ins) {
	i.Dst, i.A = r.pick(), r.pick()
	switch i.Op {
	case ir.Const:
		i.A, i.Imm = ir.None, int64(r.number())
	case ir.Context:
		i.A = ir.None
	case ir.Mov:
		if i.Size = r.size(); i.Size == 8 && r.IntN(8) == 0 {
			i.A = ir.Frame
		}
	case ir.Neg:
		i.Size = r.size()
	case ir.Zext:
		i.Width = r.width()
	case ir.Sext:
		i.Size = r.size()
		i.Width = min(r.width(), i.Size/2)
	case ir.Bswap:
		i.Width = max(2, r.width())
	}
}

func (r *random) access(i *ir.Ins, frame int) {
	i.A, i.Width = r.pick(), r.width()
	if r.half() {
		i.B, i.N = r.other(i.A), uint8(r.IntN(4))
	}
	switch i.Op {
	case ir.LoadSext:
		i.Width = min(i.Width, 4)
		fallthrough
	case ir.Lea, ir.Load:
		i.Dst = r.pick()
	case ir.Store:
		i.C = r.pick()
		if r.half() {
			i.C, i.Imm = ir.None, int64(r.number())
			r.notScratch1(&i.A)
			if i.B != ir.None {
				r.notScratch1(&i.B)
			}
			if i.A == i.B {
				i.B, i.N = ir.None, 0
			}
		}
	}
	r.offset(i, frame)
}

// offset chooses Off, and now and then makes A Frame. There is room for an index up to 7
// then, and for a neighbour.
func (r *random) offset(i *ir.Ins, frame int) {
	switch r.IntN(4) {
	case 0:
		i.Off = int32(r.number())
	case 1:
		i.Off = int32(r.number()) % (1 << 16)
	case 2:
		i.Off = int32(r.IntN(512) - 256)
	}
	if r.IntN(4) == 0 {
		i.A, i.Off = ir.Frame, int32(r.IntN(8*(ownWords-9)+1)-frame)
	}
}

// second is now and then an instruction that a backend may see together with the one
// before it.
func (r *random) second(i *ir.Ins, frame int) *ir.Ins {
	switch {
	case r.half():
	case i.Op <= ir.Rol:
		return r.dependent(i)
	case i.Op == ir.Load || i.Op == ir.Store:
		return r.neighbour(i, frame)
	}
	return nil
}

// dependent is an operation on what another gives, which often goes to the same place. It
// uses no scratch, for the first one may change it.
func (r *random) dependent(i *ir.Ins) *ir.Ins {
	if i.Dst == ir.Scratch0 || i.Dst == ir.Scratch1 {
		return nil
	}
	n := r.instruction(ir.Add+ir.Op(r.IntN(int(ir.Rol-ir.Add)+1)), 0)
	if r.IntN(4) > 0 {
		n.Size, n.Dst = i.Size, i.Dst
	}
	if n.B == ir.None && r.half() {
		n.Imm = r.Int64N(64)
	}
	for _, v := range []*ir.Var{&n.A, &n.B} {
		if *v == ir.Scratch0 || *v == ir.Scratch1 {
			*v = ir.Var(r.IntN(6))
		}
	}
	if n.B == ir.None || r.half() {
		n.A = i.Dst
	} else {
		n.B = i.Dst
	}
	return &n
}

// neighbour is a load or store of what lies beside that of an instruction.
func (r *random) neighbour(i *ir.Ins, frame int) *ir.Ins {
	if i.Op == ir.Load && (i.Dst == i.A || i.Dst == i.B) || i.Off > math.MaxInt32-8 {
		return nil
	}
	n := *i
	n.Off += int32(n.Width)
	if i.Off >= int32(n.Width)-int32(frame) && r.half() {
		n.Off -= 2 * int32(n.Width)
	}
	if n.C != ir.None {
		n.C = r.pick()
	}
	if n.Dst != ir.None {
		n.Dst = r.pick()
	}
	if r.half() && i.Op == ir.Store && n.A != ir.Scratch1 && n.B != ir.Scratch1 {
		n.C, n.Imm = ir.None, int64(r.number())
	}
	// The first one may change the scratches if it stores a number.
	for _, v := range []ir.Var{n.A, n.B, n.C} {
		if i.Op == ir.Store && i.C == ir.None && (v == ir.Scratch0 || v == ir.Scratch1) {
			return nil
		}
	}
	return &n
}

func (r *random) atomic(i *ir.Ins, frame int) {
	i.A, i.C, i.Width = r.pick(), r.pick(), 4<<r.IntN(2)
	switch i.Op {
	case ir.LoadAcquire:
		i.C, i.Dst, i.Width = ir.None, r.pick(), r.width()
	case ir.StoreRelease:
		i.Width = r.width()
	case ir.Cmpxchg:
		i.B, i.Dst = r.other(i.A), r.pick()
	case ir.Xchg:
		i.Dst = r.pick()
	default:
		if r.half() {
			i.Dst = r.pick()
		}
	}
	r.offset(i, frame)
	if i.A == ir.Frame {
		i.Off &^= 7
	}
}

func (r *random) leaves(i *ir.Ins) {
	i.Imm = int64(r.IntN(100_000))
	switch i.Op {
	case ir.Call:
		i.Dst, i.N, i.Imm = 0, 5, int64(r.IntN(callees))
	case ir.Helper:
		i.Dst, i.N = 0, uint8(r.IntN(6))
	case ir.CallX:
		i.Dst, i.N, i.A = 0, 5, r.pick()
	case ir.TailCall:
		i.Dst, i.N = 0, 3
	case ir.Slow:
		i.A = r.pick()
		if r.half() {
			i.C = r.pick()
		}
		if r.half() {
			i.B = r.pick()
		}
		if r.half() {
			i.Dst = r.pick()
		}
	case ir.Packet:
		i.Dst, i.A = 0, r.pick()
		if r.half() {
			i.B = r.pick()
		}
	case ir.Fuel:
		i.Imm = int64(r.number() & 0xffffff)
	}
	live := ir.Set(0)
	for _, v := range r.vars[:len(r.vars)-2] {
		if r.IntN(3) > 0 {
			live |= ir.Of(v)
		}
	}
	i.Live = (&ir.Func{Regs: r.regs}).Registers(live &^ i.Kills())
}

// state fills what an instruction finds, so that its address is one of an access.
func (r *random) state(i *ir.Ins, s *state) {
	for v := range s.vars {
		s.vars[v] = r.number()
	}
	for k := range s.memory {
		s.memory[k] = r.number()
	}
	for k := range s.own {
		s.own[k] = r.number()
	}
	s.frame, s.went, s.exits = 0, 0, nil
	s.budget = r.Int64N(1 << 21)
	if i.Op < ir.Load || i.Op > ir.StoreRelease {
		return
	}
	if i.B != ir.None && i.Op <= ir.Store {
		s.vars[i.B] = r.Uint64N(8)
	}
	if i.Op == ir.Cmpxchg && r.half() { // what is expected is there
		v := s.memory[memoryWords/2]
		for k := range s.own {
			s.own[k] = v
		}
		s.vars[i.B] = v ^ r.Uint64()&^mask(i.Width)
	}
	if i.A != ir.Frame {
		at := s.base + 8*(memoryWords/2)
		if i.Op <= ir.Store {
			at += r.Uint64N(64)
		}
		s.vars[i.A] = at - uint64(int64(i.Off))
	}
}
