package amd64

import "github.com/skep-ebpf/skep/vm/jit/ir"

// shiftForms says how each shift is written: its digit, and the prefix of the form
// that takes its count from any register.
var shiftForms = [...]struct {
	digit ir.Reg
	vex   vexPrefix
}{
	0:               {dShl, vex66},
	ir.Shr - ir.Shl: {dShr, vexF2},
	ir.Sar - ir.Shl: {dSar, vexF3},
	ir.Rol - ir.Shl: {dRol, 0},
}

// shiftImm shifts a register by a number of bits.
func (a *asm) shiftImm(size uint8, digit, d ir.Reg, n uint8) {
	switch {
	case n == 0:
		a.mov(size, d, d)
	case n == 1 && digit == dShl:
		a.rr(opAddRM, size, d, d)
	case n == 1:
		a.rr(opShift1, size, digit, d)
	default:
		a.rr(opShiftImm, size, digit, d)
		a.put(uint64(n), 1)
	}
}

// shift is a shift or rotation. The processor takes the count modulo the size, too.
func (e *Emitter) shift(i *ir.Ins) {
	form := &shiftForms[i.Op-ir.Shl]
	d, x := e.reg(i, i.Dst), e.reg(i, i.A)
	if i.B == ir.None {
		n := uint8(i.Imm) & (8*i.Size - 1)
		if i.Op == ir.Rol && d != x && n != 0 && e.opts.BMI2 {
			e.vex(map3a, vexF2, 0xf0, i.Size, d, 0, x) // rorx
			e.put(uint64(8*i.Size-n), 1)
			return
		}
		if d != x {
			e.mov(i.Size, d, x)
		}
		if d == x || n != 0 {
			e.shiftImm(i.Size, form.digit, d, n)
		}
		return
	}
	y := e.reg(i, i.B)
	if e.opts.BMI2 && form.vex != 0 {
		e.vex(map38, form.vex, 0xf7, i.Size, d, y, x) // shlx, shrx, sarx
		return
	}
	// The count has to be in CL.
	used := ir.RegSet(1<<rcx | 1<<d | 1<<x | 1<<y)
	kept, value := rcx, d
	if d == y || d == rcx {
		value = e.temp(&used)
	}
	e.mov(8, value, x)
	if y != rcx {
		if d != rcx {
			kept = e.temp(&used)
			e.mov(8, kept, rcx)
		}
		e.mov(8, rcx, y)
	}
	e.rr(opShiftCL, i.Size, form.digit, value)
	e.mov(8, d, value)
	if d != rcx {
		e.mov(8, rcx, kept)
	}
	e.giveBack()
}
