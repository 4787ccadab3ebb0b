package ir

import "math/rand/v2"

// random makes programs of which every run ends, and that read nothing that was not
// written.
type random struct {
	*rand.Rand
	prog  *Program
	f     *Func
	vars  int // that instructions use
	ins   []Ins
	room  int  // how many more statements there may be
	index bool // access frame memory with an index too
}

// slots is how many words of frame memory random programs use.
const slots = 6

// newRandom makes a program.
func newRandom(seed uint64) *Program {
	r := &random{Rand: rand.New(rand.NewPCG(seed, 1)), prog: &Program{}}
	for n := 1 + r.IntN(3); n > 0; n-- {
		r.function()
	}
	return r.prog
}

func (r *random) function() {
	r.f = &Func{Name: "random", Frame: 64, Params: 3}
	r.vars = 7 + r.IntN(30)
	r.f.Vars = Var(max(r.vars, int(FirstFree)))
	r.index = r.IntN(2) == 0
	r.room = 20 + r.IntN(100)
	for v := Var(0); int(v) < r.vars; v++ {
		if v < 1 || v > 3 {
			r.def(v)
		}
	}
	for n := range slots {
		r.emit(Ins{Op: Store, Size: 8, Width: 8, Dst: None, A: Frame, B: None, C: None, Off: int32(-8 * (n + 1)), Imm: r.Int64() * r.Int64N(2)})
	}
	r.statements(0)
	for range r.IntN(r.vars) { // so that what was computed is seen
		r.emit(Ins{Op: Rol, Size: 8, Dst: 0, A: 0, B: None, C: None, Imm: 7})
		r.emit(add(0, 0, r.pick()))
	}
	r.end(Return, None, 0)
	r.prog.Funcs = append(r.prog.Funcs, r.f)
}

func (r *random) emit(i Ins) { r.ins = append(r.ins, i) }

// def writes a variable without reading any.
func (r *random) def(v Var) {
	if v != Frame {
		r.emit(number(v, r.Int64()>>r.IntN(64)))
	}
}

// end closes a block, which leads to the next one and, if there is a condition, to
// another.
func (r *random) end(op Op, a Var, c Cond) *Block {
	i := Ins{Op: op, Size: 8, Cond: c, Dst: None, A: a, B: None, C: None}
	r.emit(i)
	next := int32(len(r.f.Blocks) + 1)
	b := Block{Ins: r.ins, Succ: [2]int32{-1, -1}}
	r.ins = nil
	switch op {
	case Jump:
		b.Succ[0] = next
	case Branch:
		b.Succ[1] = next
	}
	r.f.Blocks = append(r.f.Blocks, b)
	return &r.f.Blocks[next-1]
}

// pick is a variable that instructions use.
func (r *random) pick() Var {
	v := Var(r.IntN(r.vars))
	if v == Frame {
		return 0
	}
	return v
}

func (r *random) statements(depth int) {
	for n := 4 + r.IntN(20); n > 0 && r.room > 0; n-- {
		r.room--
		switch k := r.IntN(20); {
		case k == 0 && depth < 3:
			r.loop(depth)
		case k < 3 && depth < 3:
			r.condition(depth)
		case k == 4:
			r.call()
		default:
			r.plain()
		}
	}
}

// condition runs statements or does not.
func (r *random) condition(depth int) {
	at := len(r.f.Blocks)
	flag := Flag(0)
	if r.IntN(4) == 0 {
		flag = Cold
	}
	b := r.end(Branch, r.pick(), Cond(r.IntN(12)))
	b.End().Flag = flag
	b.End().Imm = r.Int64() >> r.IntN(64)
	if r.IntN(2) == 0 {
		b.End().B = r.pick()
	}
	r.statements(depth + 1)
	r.end(Jump, None, 0)
	r.f.Blocks[at].Succ[0] = int32(len(r.f.Blocks))
}

// loop runs statements a few times, with a counter in frame memory.
func (r *random) loop(depth int) {
	counter := Ins{Op: Store, Size: 8, Width: 8, Dst: None, A: Frame, B: None, C: None, Off: int32(-64 + 8*(1-depth%2)), Imm: int64(1 + r.IntN(4))}
	if depth > 1 {
		return
	}
	r.emit(counter)
	r.end(Jump, None, 0)
	head := int32(len(r.f.Blocks))
	r.statements(depth + 1)
	load := counter
	load.Op, load.Dst, load.Imm = Load, 0, 0
	r.emit(load)
	r.emit(Ins{Op: Sub, Size: 8, Dst: 0, A: 0, B: None, C: None, Imm: 1})
	counter.C, counter.Imm = 0, 0
	r.emit(counter)
	r.end(Branch, 0, Ne).Succ[0] = head
}

// call calls a function or a helper.
func (r *random) call() {
	for v := Var(1); v < 6; v++ {
		if r.IntN(2) == 0 {
			r.emit(mov(v, r.pick()))
		}
	}
	switch n := len(r.prog.Funcs); {
	case n > 0 && r.IntN(2) == 0:
		r.emit(Ins{Op: Call, Dst: 0, A: None, B: None, C: None, N: 3, Imm: int64(r.IntN(n))})
	case r.IntN(2) == 0:
		r.emit(leave(uint8(r.IntN(6))))
	default:
		r.emit(Ins{Op: Lea, Size: 8, Dst: 1, A: Frame, B: None, C: None, Off: int32(-8 * (1 + r.IntN(2)))})
		i := leave(1)
		i.Imm = 1
		r.emit(i)
	}
	for v := Var(1); v < 6; v++ { // nobody may read what is there
		if r.IntN(2) == 0 {
			r.def(v)
		} else {
			r.emit(mov(v, 6+Var(r.IntN(min(r.vars, 10)-6))))
		}
	}
}

var widths = [...]uint8{1, 2, 4, 8}

// plain is an instruction that does not leave the function.
func (r *random) plain() {
	i := Ins{Size: widths[2+r.IntN(2)], Width: 8, Dst: r.pick(), A: r.pick(), B: None, C: None}
	slot := int32(-8 * (1 + r.IntN(slots)))
	switch k := r.IntN(16); {
	case k < 4:
		i.Op = Mov
	case k < 9:
		i.Op = Add + Op(r.IntN(int(MulHi-Add)+1))
		if i.Imm = int64(int32(r.Uint32())); r.IntN(2) == 0 {
			i.B, i.Imm = r.pick(), 0
		}
		if i.Op == MulHi {
			i.Size = 8
		}
	case k < 10:
		i.Op, i.Width, i.Size = Zext, widths[r.IntN(4)], 8
	case k < 11:
		i.Op, i.Width, i.Size = Sext, widths[r.IntN(3)], 8
	case k < 13:
		i.Op, i.A, i.Off, i.Size = Load, Frame, slot, 8
		if r.IntN(8) == 0 {
			i.Width = 4
		}
	case k < 15:
		i.Op, i.A, i.Dst, i.C, i.Off, i.Size = Store, Frame, None, r.pick(), slot, 8
		if r.IntN(8) == 0 {
			i.Width = 4
		}
		if r.IntN(6) == 0 {
			i.C, i.Imm = None, 0
		}
	default:
		r.indexed(slot)
		return
	}
	r.emit(i)
}

// indexed accesses frame memory through an address with an index.
func (r *random) indexed(slot int32) {
	base, index, value := r.pick(), r.pick(), r.pick()
	if !r.index || base == index || base == value || index == value {
		return
	}
	r.emit(Ins{Op: Lea, Size: 8, Dst: base, A: Frame, B: None, C: None, Off: -8 * slots})
	r.emit(Ins{Op: And, Size: 8, Dst: index, A: index, B: None, C: None, Imm: slots/2 - 1})
	i := Ins{Size: 8, Width: 8, Dst: None, A: base, B: index, C: None, N: 3}
	switch r.IntN(5) {
	case 0:
		i.Op, i.Dst = Load, value
	case 1:
		i.Op, i.C = Store, value
	case 2:
		i.Op, i.Imm = Store, r.Int64()
	case 3:
		i.Op, i.Dst, i.B, i.N, i.C = Xchg, value, None, 0, value
	default:
		i.Op, i.Dst, i.B, i.N, i.C = Cmpxchg, 0, index, 0, value
		if base == 0 || value == 0 {
			i.B, i.Op, i.Dst = None, AtomicAdd, None
		}
	}
	r.emit(i)
	r.def(base) // addresses are nothing to be seen
}
