package amd64

import "github.com/skep-ebpf/skep/vm/jit/ir"

// address is the operand A + B<<N + Off.
func (e *Emitter) address(i *ir.Ins) address {
	m := e.addressA(i)
	if i.B != ir.None {
		m.index, m.scale = e.reg(i, i.B), i.N
	}
	return m
}

// addressA is the operand A + Off.
func (e *Emitter) addressA(i *ir.Ins) address {
	if i.A == ir.Frame {
		return at(rsp, e.frame+i.Off)
	}
	return at(e.reg(i, i.A), i.Off)
}

// load loads and zero-extends.
func (e *Emitter) load(i *ir.Ins) {
	d, m := e.reg(i, i.Dst), e.access(i)
	switch i.Width {
	case 1:
		e.rm(opMovzx8, 4, d, m)
	case 2:
		e.rm(opMovzx16, 4, d, m)
	default:
		e.rm(opLoad, i.Width, d, m)
	}
}

// loadSext loads and sign-extends to 8 bytes.
func (e *Emitter) loadSext(i *ir.Ins) {
	d, m := e.reg(i, i.Dst), e.access(i)
	switch i.Width {
	case 1:
		e.rm(opMovsx8, 8, d, m)
	case 2:
		e.rm(opMovsx16, 8, d, m)
	case 4:
		e.rm(opMovsxd, 8, d, m)
	default:
		e.rm(opLoad, 8, d, m)
	}
}

// store stores a register or a number.
func (e *Emitter) store(i *ir.Ins) {
	m := e.access(i)
	c := r11
	switch {
	case i.C != ir.None:
		c = e.reg(i, i.C)
	case i.Width == 8 && !fits32(i.Imm):
		e.constant(r11, i.Imm)
	default:
		e.storeImm(i.Width, m, i.Imm)
		return
	}
	switch i.Width {
	case 1:
		e.rm(opStore8, 4, c, m)
	case 2:
		e.rm(half|opStore, 4, c, m)
	default:
		e.rm(opStore, i.Width, c, m)
	}
}

// storeImm stores a number of at most 32 bits, sign-extended.
func (a *asm) storeImm(width uint8, m address, imm int64) {
	switch width {
	case 1:
		a.rm(opStoreImm8, 4, 0, m)
		a.put(uint64(uint8(imm)), 1)
	case 2:
		a.rm(half|opStoreImm, 4, 0, m)
		a.put(uint64(uint16(imm)), 2)
	default:
		a.rm(opStoreImm, width, 0, m)
		a.put(uint64(uint32(imm)), 4)
	}
}

// access is the operand in memory of a load or store, and checks its width.
func (e *Emitter) access(i *ir.Ins) address {
	switch i.Width {
	case 1, 2, 4, 8:
	default:
		e.fail(i, "accesses %d bytes at once", i.Width)
	}
	return e.address(i)
}
