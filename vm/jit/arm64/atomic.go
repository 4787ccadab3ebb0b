package arm64

import "github.com/skep-ebpf/skep/vm/jit/ir"

// updates has the forms of atomic updates: of Armv8.1's own instruction, and of the
// operation between a pair of exclusive accesses.
var updates = [...]struct{ atomic, op form }{
	ir.AtomicAdd: {ldadd, addReg},
	ir.AtomicAnd: {ldclr, andReg},
	ir.AtomicOr:  {ldset, orrReg},
	ir.AtomicXor: {ldeor, eorReg},
	ir.Xchg:      {swp, 0},
}

// atomic emits an atomic access. As in Linux, those that give what was there before are
// fully ordered, and the others not at all.
func (e *Emitter) atomic(i *ir.Ins) {
	if i.Width != 1<<log2(i.Width) || i.Width < 4 && i.Op < ir.LoadAcquire {
		e.fail(i, "accesses %d bytes at once and atomically", i.Width)
		return
	}
	p := e.place(i)
	n := p.base
	if n == sp || p.off != 0 {
		e.add(8, tmp2, p.base, int64(p.off))
		n = tmp2
	}
	switch {
	case i.Op == ir.LoadAcquire:
		e.emit(ldar.width(i.Width).d(e.reg(i, i.Dst)).n(n))
	case i.Op == ir.StoreRelease:
		e.emit(stlr.width(i.Width).d(e.reg(i, i.C)).n(n))
	case i.Op == ir.Cmpxchg && e.opts.LSE:
		e.move(8, tmp0, e.reg(i, i.B))
		e.emit((cas | casOrdered).width(i.Width).m(tmp0).d(e.reg(i, i.C)).n(n))
		e.move(i.Width, e.reg(i, i.Dst), tmp0)
	case i.Op == ir.Cmpxchg:
		e.exclusiveCompare(i, n)
	case e.opts.LSE:
		e.update(i, n)
	default:
		e.exclusiveUpdate(i, n)
	}
}

// update emits an atomic update as one instruction. There is none for and, but one
// that clears bits.
func (e *Emitter) update(i *ir.Ins, n reg) {
	f, v, d := updates[i.Op].atomic, e.reg(i, i.C), zr
	if i.Op == ir.AtomicAnd {
		e.emit(ornReg.sized(8).d(tmp0).n(zr).m(v))
		v = tmp0
	}
	if i.Dst != ir.None {
		f, d = f|ordered, e.reg(i, i.Dst)
	}
	e.emit(f.width(i.Width).m(v).d(d).n(n))
}

// exclusiveUpdate emits an atomic update as a loop: tmp0 is what was there, tmp1 what is
// to be, tmp3 whether somebody else was there in between.
func (e *Emitter) exclusiveUpdate(i *ir.Ins, n reg) {
	again := e.here()
	e.emit(ldxr.width(i.Width).d(tmp0).n(n))
	next := e.reg(i, i.C)
	if op := updates[i.Op].op; op != 0 {
		e.emit(op.sized(i.Width).d(tmp1).n(tmp0).m(next))
		next = tmp1
	}
	e.storeExclusive(i, next, n, again)
}

// storeExclusive ends the loop of an atomic access, and gives what was there before.
func (e *Emitter) storeExclusive(i *ir.Ins, v, n reg, again int32) {
	f := stxr
	if i.Dst != ir.None {
		f = stlxr
	}
	e.emit(f.width(i.Width).m(tmp3).d(v).n(n))
	e.emit(distance(cbnz.d(tmp3), again-e.here()))
	if i.Dst != ir.None {
		e.emit(dmbISH)
		e.move(i.Width, e.reg(i, i.Dst), tmp0)
	}
}

// exclusiveCompare emits a compare and exchange as a loop.
func (e *Emitter) exclusiveCompare(i *ir.Ins, n reg) {
	again := e.here()
	e.emit(ldxr.width(i.Width).d(tmp0).n(n))
	e.emit(subsReg.sized(i.Width).d(zr).n(tmp0).m(e.reg(i, i.B)))
	const over = 4
	e.emit(distance(bcond|1, over)) // not equal
	e.storeExclusive(i, e.reg(i, i.C), n, again)
}
