package arm64

import "github.com/skep-ebpf/skep/vm/jit/ir"

// place is an address: a register, which may be SP, plus a constant.
type place struct {
	base reg
	off  int32
}

// place gives that of operand A plus Off.
func (e *Emitter) place(i *ir.Ins) place {
	if i.A == ir.Frame {
		return place{sp, e.below(i.Off)}
	}
	return place{e.reg(i, i.A), i.Off}
}

// indexed emits d = n + m<<shift, where n may be SP, and d may be m.
func (e *Emitter) indexed(d, n, m reg, shift uint8) {
	f := addReg.sized(8)
	if n == sp {
		f = addExt // which shifts by at most 4
	}
	e.emit(f.d(d).n(n).m(m).shift(shift))
}

func (e *Emitter) lea(i *ir.Ins) {
	d, p := e.reg(i, i.Dst), e.place(i)
	if i.B != ir.None {
		e.indexed(d, p.base, e.reg(i, i.B), i.N)
		p.base = d
		if p.off == 0 {
			return
		}
	}
	e.add(8, d, p.base, int64(p.off))
}

// value gives the register with what is stored: C, or tmp1 for an immediate.
func (e *Emitter) value(i *ir.Ins) reg {
	switch {
	case i.C != ir.None:
		return e.reg(i, i.C)
	case i.Imm == 0:
		return zr
	}
	e.constant(tmp1, sized(i.Imm, i.Width))
	return tmp1
}

// access emits a load or store of register t.
func (e *Emitter) access(direction form, t reg, i *ir.Ins) {
	if i.Width != 1<<log2(i.Width) {
		e.fail(i, "accesses %d bytes at once", i.Width)
		return
	}
	p := e.place(i)
	f := direction.width(i.Width).d(t)
	if i.B != ir.None {
		m := e.reg(i, i.B)
		if p.off == 0 && (i.N == 0 || i.N == log2(i.Width)) {
			if i.N > 0 {
				f |= shiftIndex
			}
			e.emit(indexed | f.n(p.base).m(m))
			return
		}
		e.indexed(tmp2, p.base, m, i.N)
		p.base = tmp2
	}
	width := int32(i.Width)
	if p.off >= 1<<12*width {
		// What the access itself does not reach: whole pages.
		e.add(8, tmp2, p.base, int64(p.off&^0xfff))
		p = place{tmp2, p.off & 0xfff}
	}
	switch {
	case p.off >= 0 && p.off%width == 0:
		e.emit(store | f.n(p.base).imm12(uint32(p.off/width)))
	case -256 <= p.off && p.off < 256:
		e.emit(unscaled | f.n(p.base).imm9(p.off))
	default:
		e.add(8, tmp2, p.base, int64(p.off))
		e.emit(store | f.n(tmp2))
	}
}

// paired emits two loads or two stores of neighbouring places as one instruction, and
// reports whether they are that.
func (e *Emitter) paired(i, j *ir.Ins) bool {
	apart := i.Off - j.Off
	if i.Op != j.Op || i.Width != j.Width || i.Width != 4 && i.Width != 8 || i.A != j.A || i.B != ir.None || j.B != ir.None ||
		apart != int32(i.Width) && apart != -int32(i.Width) {
		return false
	}
	if apart > 0 {
		i, j = j, i
	}
	p := e.place(i)
	at := p.off / int32(i.Width)
	if p.off%int32(i.Width) != 0 || at != at<<25>>25 {
		return false
	}
	var f form
	var low, high reg
	switch {
	case i.Op == ir.Load && i.Dst != j.Dst && i.Dst != i.A && j.Dst != i.A:
		f, low, high = loadPair, e.reg(i, i.Dst), e.reg(j, j.Dst)
	case i.Op == ir.Store && i.C != ir.None && j.C != ir.None:
		f, low, high = storePair, e.reg(i, i.C), e.reg(j, j.C)
	case i.Op == ir.Store && i.C == j.C && i.Imm == j.Imm:
		v := e.value(i)
		f, low, high = storePair, v, v
	default:
		return false
	}
	e.emit(f.sized(i.Width).d(low).a(high).n(p.base).imm7(at))
	return true
}
