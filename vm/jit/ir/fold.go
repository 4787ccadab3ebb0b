package ir

// Fold follows numbers, frame addresses and copies through a function, and writes
// each instruction as simply as what is known allows: operations on constants become
// constants, addresses start at Frame or at what a register was copied from, branches
// that always go the same way become jumps, and what cannot be reached a Trap. Each
// block is visited once; a loop begins with what it does not change itself.
//
// What it leaves without a use is for [Func.Sweep].
func (f *Func) Fold() {
	work := f.workspace()
	d := folder{f: f, flow: f.flow(), coming: work.int32s.make(len(f.Blocks)), states: states{memory: &work.facts, vars: int(f.Vars)}}
	d.at = d.states.take()
	d.now = d.states.facts(d.at)
	d.now.forget(everything)
	d.enter(0, true)
	for _, at := range d.flow.order {
		b := &f.Blocks[at]
		if d.coming[at] == 0 {
			b.Ins[0] = nothing(b.Ins[0].At)
			b.Ins[0].Op = Trap
			b.Ins = b.Ins[:1]
			b.Succ = [2]int32{-1, -1}
			continue
		}
		if d.now != nil {
			d.states.put(d.at)
		}
		d.at = d.coming[at]
		d.now = d.states.facts(d.at)
		if again := d.flow.repeats[at]; again != 0 {
			d.now.forget(again)
		}
		for k := range b.Ins {
			i := &b.Ins[k]
			if i.Op == Shl {
				i.extends(&b.Ins[k+1])
			}
			d.instruction(i)
		}
		d.leave(at)
	}
}

// extends makes of two shifts in place, one to the left and one to the right by as
// much, a Zext or a Sext.
func (i *Ins) extends(next *Ins) {
	if next.Op != Shr && next.Op != Sar || i.B != None || next.B != None || next.Imm != i.Imm || next.Size != i.Size ||
		next.A != i.Dst || next.Dst != i.Dst {
		return
	}
	if op, width := extension(next); width != 0 {
		next.convert(op, width)
		next.A = i.A
		*i = nothing(i.At)
	}
}

// folder folds a function.
type folder struct {
	f      *Func
	flow   *flow
	states states
	at     int32   // the state where it is
	now    facts   // and its facts; nil: a block has taken it over
	coming []int32 // by block: the state in which it is entered from the blocks so far; 0: it never is
}

// enter brings what is known now to a block, the last one that needs it or not.
func (d *folder) enter(to int32, last bool) {
	switch at := d.coming[to]; {
	case at != 0:
		d.states.facts(at).join(d.now)
	case last:
		d.coming[to], d.now = d.at, nil
	default:
		d.coming[to] = d.states.take()
		copy(d.states.facts(d.coming[to]), d.now)
	}
}

// leave brings what is known to the blocks behind one. An edge that leads back needs
// nothing: what a loop begins with holds there anyway.
func (d *folder) leave(at int32) {
	b := &d.f.Blocks[at]
	i := b.End()
	if i.Op == Branch {
		taken, sure := d.outcome(i)
		switch {
		case b.Succ[0] == b.Succ[1]:
		case !sure:
			was := d.now[i.A].known
			for side, to := range b.Succ {
				if d.flow.place[to] > d.flow.place[at] {
					d.now[i.A].narrow(i, side == 0)
					d.enter(to, side == 1)
				}
				if side == 0 {
					d.now[i.A].known = was
				}
			}
			return
		case !taken:
			b.Succ[0] = b.Succ[1]
		}
		i.Op, i.A, i.B, i.Imm, i.Flag = Jump, None, None, 0, 0
		b.Succ[1] = -1
	}
	if i.Op == Jump && d.flow.place[b.Succ[0]] > d.flow.place[at] {
		d.enter(b.Succ[0], true)
	}
}

// narrow adds what is known of a branch's operand A where it was taken, or not.
func (k *known) narrow(i *Ins, taken bool) {
	if i.B != None || k.isNumber() || i.Size == 4 && k.may>>32 != 0 {
		return
	}
	c, n := i.Cond, uint64(i.Imm)
	if i.Size == 4 {
		n = uint64(uint32(n))
	}
	if !taken {
		c = c.Not()
	}
	may := k.may
	switch {
	case c == Eq:
		*k = constant(int64(n))
		return
	case c == Ult && n > 0:
		may &= smear(n - 1)
	case c == Ule:
		may &= smear(n)
	case c == TestClear:
		may &^= n
	}
	k.may = may
}

// convert makes i a Zext or a Sext of its operand.
func (i *Ins) convert(op Op, width uint8) {
	if i.Op, i.Width, i.Imm = op, width, 0; op == Zext {
		i.Size = 8
	}
}

// instruction simplifies an instruction and notes what is known of its result.
func (d *folder) instruction(i *Ins) {
	switch i.Op {
	case Nop, Fuel, Jump, Return, Trap: // nothing is written
	case Add, Sub, Mul, And, Or, Xor, Shl, Shr, Sar, Rol, Div, Mod, Sdiv, Smod, MulHi:
		d.operation(i)
	case Neg:
		d.negation(i)
	case Mov, Zext, Sext, Bswap:
		d.conversion(i)
	case Const:
		d.define(i, constant(i.Imm))
	case Context:
		d.now.unknown(i.Dst, ^uint64(0))
	case Lea:
		d.address(i)
		d.sum(i)
	case Load, LoadSext:
		d.address(i)
		may := ^uint64(0)
		if i.Op == Load {
			may = ones(i.Width)
		}
		d.now.unknown(i.Dst, may)
	case Store:
		d.address(i)
		d.stored(i)
	case AtomicAdd, AtomicAnd, AtomicOr, AtomicXor, Xchg, Cmpxchg, LoadAcquire, StoreRelease:
		d.address(i)
		if i.Op == Cmpxchg {
			i.B = d.source(i.B, i.Width)
		}
		i.C = d.source(i.C, i.Width)
		if i.Dst != None {
			d.now.unknown(i.Dst, ones(i.Width))
		}
	case Branch:
		d.condition(i)
	default: // leaves native code, or calls
		if i.Op == CallX || i.Op == Slow || i.Op == Packet {
			i.A, i.B, i.C = d.source(i.A, 8), d.source(i.B, 8), d.source(i.C, 8)
		}
		d.now.forget(i.Kills())
	}
}

// source is a variable that holds the same as v, as far as its lower width bytes go, and
// has done so for longer.
func (d *folder) source(v Var, width uint8) Var {
	if v == None || v == Frame {
		return v
	}
	if k := &d.now[v]; k.isVar() && k.off == 0 && (!k.low || width <= 4) {
		return k.base
	}
	return v
}

// define writes the result of an instruction as what is known of it, if that is
// simpler, or drops it where Dst holds that already.
func (d *folder) define(i *Ins, k known) {
	was := &d.now[i.Dst].known
	if was.same(&k) || k.base == i.Dst && k.off == 0 && !k.low {
		*i = nothing(i.At)
		return
	}
	switch {
	case k.isNumber() && (fits(k.off) || uint64(k.off)>>32 == 0 || i.Op != Mov):
		i.become(Const, 8, None, k.off)
	case k.isNumber() || k.low || k.base == anything:
	case k.off == 0 || k.base != Frame && !fits(k.off):
		if k.off == 0 {
			i.become(Mov, 8, k.base, 0)
		}
	case k.base == Frame:
		if fits(k.off) {
			i.become(Lea, 8, Frame, 0)
			i.Off = int32(k.off)
		}
	default:
		i.become(Add, 8, k.base, k.off)
	}
	d.now.set(i.Dst, k)
}

// nothing is a Nop.
func nothing(at int32) Ins {
	i := blank
	i.At = at
	return i
}

// become makes i an operation on one variable and a number.
func (i *Ins) become(op Op, size uint8, a Var, imm int64) {
	i.Op, i.Size, i.A, i.B, i.Imm = op, size, a, None, imm
	i.Width, i.N, i.Off, i.Flag = 0, 0, 0, 0
}

// result notes that an instruction that stays as it is has no other bits in Dst.
func (d *folder) result(i *Ins, may uint64) {
	if may == 0 {
		d.define(i, constant(0))
		return
	}
	d.now.unknown(i.Dst, may)
}

// copied is what is known of something that holds what variable v does.
func (d *folder) copied(v Var) known {
	if v == Frame {
		return known{base: Frame, may: ^uint64(0)}
	}
	k := d.now[v].known
	if k.base == anything || k.low {
		k.base, k.off, k.low = v, 0, false
	}
	return k
}

// conversion is Mov, Zext, Sext and Bswap.
func (d *folder) conversion(i *Ins) {
	if i.Op == Mov {
		if i.Size == 8 {
			d.define(i, d.copied(i.A))
			return
		}
		i.Op, i.Size, i.Width = Zext, 8, 4
	}
	i.A = d.source(i.A, i.Width)
	k := d.now[i.A].known
	if k.isNumber() {
		d.define(i, constant(int64(converted(i.Op, i.Size, i.Width, uint64(k.off)))))
		return
	}
	may := ^uint64(0)
	switch i.Op {
	case Bswap:
		may = ones(i.Width)
	case Zext:
		may = k.may & ones(i.Width)
	case Sext:
		if k.may&ones(i.Width)>>(8*i.Width-1) == 0 { // not negative
			i.Op, i.Size = Zext, 8
			may = k.may & ones(i.Width)
		} else if i.Size == 4 {
			may = ones(4)
		}
	}
	switch {
	case i.Op == Zext && k.may == may:
		d.define(i, d.copied(i.A))
	case i.Op == Zext && i.Width == 4 && k.may != 0:
		c := d.copied(i.A)
		if c.isVar() && c.off == 0 {
			c.low, c.may = true, may
			d.define(i, c)
			return
		}
		fallthrough
	default:
		d.result(i, may)
	}
}

// negation is Neg.
func (d *folder) negation(i *Ins) {
	i.A = d.source(i.A, i.Size)
	if k := d.now[i.A].known; k.isNumber() {
		d.define(i, constant(int64(calculate(Sub, i.Size, 0, uint64(k.off)))))
		return
	}
	d.result(i, ones(i.Size))
}

// condition simplifies the operands of a Branch.
func (d *folder) condition(i *Ins) {
	i.A, i.B = d.source(i.A, i.Size), d.source(i.B, i.Size)
	if i.B == None {
		return
	}
	if a, b := d.now[i.A].known, d.now[i.B].known; a.isNumber() && !b.isNumber() {
		i.A, i.B, i.Cond = i.B, i.A, i.Cond.mirror()
	}
	if b := d.now[i.B].known; b.isNumber() {
		if n := wordOf(b.off, i.Size); fits(n) {
			i.B, i.Imm = None, n
		}
	}
}

// outcome reports whether a branch is always taken, or never, and whether that is
// known at all. It makes branches that need no more than 4 bytes such.
func (d *folder) outcome(i *Ins) (taken, sure bool) {
	a, b := d.now[i.A].known, constant(i.Imm)
	if i.B != None {
		b = d.now[i.B].known
	}
	if a.isNumber() && b.isNumber() {
		return compares(i.Cond, i.Size, uint64(a.off), uint64(b.off)), true
	}
	if i.A == i.B {
		switch i.Cond {
		case Eq, Uge, Ule, Sge, Sle:
			return true, true
		case Ne, Ult, Ugt, Slt, Sgt:
			return false, true
		}
		return false, false
	}
	most, other := a.may&ones(i.Size), b.may&ones(i.Size)
	if top := 8*i.Size - 1; most>>top == 0 && other>>top == 0 { // neither is negative
		switch i.Cond {
		case Slt:
			i.Cond = Ult
		case Sge:
			i.Cond = Uge
		case Sle:
			i.Cond = Ule
		case Sgt:
			i.Cond = Ugt
		}
	}
	if i.Size == 8 && a.may>>32 == 0 && b.may>>32 == 0 && (i.Cond < Slt || i.Cond >= TestSet) {
		i.Size, i.Imm = 4, wordOf(i.Imm, 4)
		i.A, i.B = d.source(i.A, 4), d.source(i.B, 4)
	}
	c := i.Cond &^ 1
	opposite := i.Cond != c
	switch {
	case c == TestSet && most&other == 0:
		return opposite, true
	case !b.isNumber():
		return false, false
	case c == Eq && other&^most != 0, c == Ult && other == 0:
		return opposite, true
	case c == Ult && most < other, c == Ule && most <= other:
		return !opposite, true
	}
	return false, false
}
