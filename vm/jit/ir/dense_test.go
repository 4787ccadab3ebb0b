package ir

import (
	"math/rand/v2"
	"testing"
)

// newDense makes a program of few variables and telling numbers, in which there is much
// to simplify. It begins with R1 to R5.
func newDense(seed uint64) *Program {
	d := &dense{Rand: rand.New(rand.NewPCG(seed, 2))}
	d.f = &Func{Name: "dense", Frame: 64, Params: 5, Vars: FirstFree}
	for _, v := range []Var{0, 6, 7, 8, 9} {
		d.emit(number(v, d.constant()))
	}
	for off := int32(-64); off < 0; off += 8 {
		d.emit(Ins{Op: Store, Size: 8, Width: 8, Dst: None, A: Frame, B: None, C: 1 + Var(d.IntN(5)), Off: off})
	}
	for n := 1 + d.IntN(6); n > 0; n-- {
		d.block()
	}
	d.emit(ret())
	d.close(-1, -1)
	last := int32(len(d.f.Blocks)) - 1
	for at := range d.f.Blocks {
		for side, to := range d.f.Blocks[at].Succ {
			d.f.Blocks[at].Succ[side] = min(to, last)
		}
	}
	observe(d.f)
	return &Program{Funcs: []*Func{d.f}}
}

type dense struct {
	*rand.Rand
	f   *Func
	ins []Ins
}

func (d *dense) emit(all ...Ins) { d.ins = append(d.ins, all...) }

func (d *dense) close(succ ...int32) {
	d.f.Blocks = append(d.f.Blocks, Block{Ins: d.ins, Succ: [2]int32(succ)})
	d.ins = nil
}

// block leads to one of those behind it.
func (d *dense) block() {
	for n := 1 + d.IntN(12); n > 0; n-- {
		d.statement()
	}
	next := int32(len(d.f.Blocks)) + 1
	i := branch(d.variable(), Cond(d.IntN(12)), d.constant())
	if i.Size = d.size(); d.IntN(3) == 0 {
		i.B = d.variable()
	}
	d.emit(i)
	d.close(next+int32(d.IntN(3)), next)
}

// variable is a number; R8 and R9 hold addresses, where they hold anything.
func (d *dense) variable() Var { return Var(d.IntN(8)) }

func (d *dense) size() uint8 { return 4 << d.IntN(2) }

// constant is mostly next to a power of two.
func (d *dense) constant() int64 {
	switch d.IntN(6) {
	case 0:
		return int64(d.IntN(66)) - 1
	case 1:
		return int64(int32(d.Uint32()))
	case 2:
		return d.Int64()
	}
	return int64(1)<<d.IntN(64) + int64(d.IntN(3)) - 1
}

func (d *dense) operation() Ins {
	i := Ins{Op: Add + Op(d.IntN(int(MulHi-Add))), Size: d.size(), Dst: d.variable(), A: d.variable(), B: None, C: None}
	switch d.IntN(4) {
	case 0:
		i.B = d.variable()
	case 1:
		i.Imm = 8 * int64(d.IntN(8))
	default:
		i.Imm = int64(int32(d.constant()))
	}
	return i
}

func (d *dense) statement() {
	a, b := d.variable(), d.variable()
	width := widths[d.IntN(4)]
	slot := -64 + int32(d.IntN(56))
	op := func(op Op, size uint8, dst, a, b Var, imm int64) Ins {
		return Ins{Op: op, Size: size, Dst: dst, A: a, B: b, C: None, Imm: imm}
	}
	access := func(op Op, dst, a, c Var, off int32) Ins {
		return Ins{Op: op, Size: 8, Width: width, Dst: dst, A: a, B: None, C: c, Off: off, Imm: d.constant()}
	}
	switch d.IntN(20) {
	default:
		d.emit(d.operation())
	case 0:
		d.emit(number(a, d.constant()))
	case 1:
		d.emit(op(Mov, d.size(), a, b, None, 0))
	case 2:
		i := op(Zext+Op(d.IntN(3)), 8, a, b, None, 0)
		if i.Width = width; i.Op == Sext && width < 4 {
			i.Size = d.size()
		}
		if i.Op == Bswap {
			i.Width = max(2, width)
		}
		d.emit(i)
	case 3:
		d.emit(op(Neg, d.size(), a, b, None, 0))
	case 4, 5: // an address in steps
		d.emit(op(Mov, 8, 8, Frame, None, 0), op(Add, 8, 8, 8, None, int64(slot)), op(Mov, 8, 9, 8, None, 0), op(Add, 8, 9, 9, None, 2))
		d.emit(access(Load, a, 8, None, 0), access(LoadSext, b, 9, None, -2), access(Store, None, 9, b, -1))
	case 6:
		d.emit(access(Store, None, Frame, b, slot), access(Load, a, Frame, None, slot))
	case 7:
		d.emit(access(Store, None, Frame, None, slot))
	case 8: // a rotation
		n, size := int64(1+d.IntN(31)), d.size()
		d.emit(op(Mov, size, 6, a, None, 0), op(Shl, size, 6, 6, None, n), op(Shr, size, a, a, None, 8*int64(size)-n), op(Or, size, 6, 6, a, 0))
	case 9: // extensions by shifts
		n := 8 * int64(1+d.IntN(7))
		d.emit(op(Shl, 8, a, b, None, n), op(Shr+Op(d.IntN(2)), 8, a, a, None, n))
	case 10, 11:
		d.bytes(a, b, slot)
	case 12: // an index
		d.emit(op(And, 8, 7, a, None, 6), op(Mov, 8, 8, Frame, None, 0), op(Shl, 8, 7, 7, None, int64(d.IntN(4))))
		d.emit(op(Add, 8, 8, 8, 7, 0), op(Add, 8, 8, 8, None, -64), access(Load, a, 8, None, 0), access(Store, None, 8, b, 2))
	case 13:
		i := access([]Op{AtomicAdd, AtomicAnd, AtomicOr, AtomicXor, Xchg}[d.IntN(5)], a, Frame, b, slot)
		i.Width = max(4, width)
		d.emit(i)
	}
}

// bytes puts a number together from bytes.
func (d *dense) bytes(a, b Var, slot int32) {
	load := func(dst Var, off int32) Ins {
		return Ins{Op: Load, Size: 8, Width: 1, Dst: dst, A: 8, B: None, C: None, Off: off}
	}
	op := func(op Op, dst, a, b Var, imm int64) Ins {
		return Ins{Op: op, Size: 8, Dst: dst, A: a, B: b, C: None, Imm: imm}
	}
	if a == b {
		return
	}
	d.emit(Ins{Op: Lea, Size: 8, Dst: 8, A: Frame, B: None, C: None, Off: slot})
	first, second := int32(d.IntN(2)), int32(d.IntN(3))
	d.emit(load(a, first), load(b, second))
	if d.IntN(4) == 0 {
		d.emit(Ins{Op: Store, Size: 8, Width: 1, Dst: None, A: 8, B: None, C: 7, Off: int32(d.IntN(3))})
	}
	d.emit(op(Shl, a, a, None, 8), op(Or, a, a, b, 0))
	if d.IntN(2) == 0 {
		load3, load4 := load(b, 2+first), load(8, 2+second)
		d.emit(load3, load4, op(Shl, b, b, None, 8), op(Or, b, b, 8, 0), op(Shl, b, b, None, 16), op(Or, a, b, a, 0))
	}
}

// TestOptimiseDense runs all passes, and colours what comes out.
func TestOptimiseDense(t *testing.T) {
	for seed := range uint64(500) {
		args := []uint64{seed, seed<<32 | 7, 1 << 63, seed * 0x9e3779b97f4a7c15, 255}
		want, _ := (&evaluator{t: t, prog: newDense(seed)}).run(args...)
		for _, target := range []*Target{&narrow, &wide} {
			p := newDense(seed)
			p.Calls = testCalls
			p.Optimise(target)
			verify(t, p.Funcs[0])
			text := p.Funcs[0].String()
			p.Colour(target)
			if got, _ := (&evaluator{t: t, prog: p, coloured: true, target: target}).run(args...); got != want {
				t.Fatalf("program %d gives %#x, not %#x:\n%s\nof\n%s", seed, got, want, text, newDense(seed).Funcs[0])
			}
		}
	}
}
