package arm64

import "github.com/skep-ebpf/skep/vm/jit/ir"

// operations has the forms of operations on two registers.
var operations = [...]form{
	ir.Add:   addReg,
	ir.Sub:   subReg,
	ir.Mul:   madd.a(zr),
	ir.And:   andReg,
	ir.Or:    orrReg,
	ir.Xor:   eorReg,
	ir.Shl:   lslv,
	ir.Shr:   lsrv,
	ir.Sar:   asrv,
	ir.Rol:   rorv,
	ir.Div:   udiv,
	ir.Mod:   udiv,
	ir.Sdiv:  sdiv,
	ir.Smod:  sdiv,
	ir.MulHi: umulh,
}

// instruction emits one that is not the last of its block.
func (e *Emitter) instruction(i *ir.Ins) {
	switch i.Op {
	case ir.Nop:
	case ir.Add, ir.Sub, ir.Mul, ir.And, ir.Or, ir.Xor, ir.Shl, ir.Shr, ir.Sar, ir.Rol,
		ir.Div, ir.Mod, ir.Sdiv, ir.Smod, ir.MulHi:
		if i.B != ir.None || !e.immediate(i) {
			e.operation(i)
		}
	case ir.Neg:
		e.emit(subReg.sized(i.Size).d(e.reg(i, i.Dst)).n(zr).m(e.reg(i, i.A)))
	case ir.Mov:
		e.mov(i)
	case ir.Const:
		e.constant(e.reg(i, i.Dst), sized(i.Imm, i.Size))
	case ir.Context:
		e.findContext(e.reg(i, i.Dst))
	case ir.Zext:
		e.extend(ubfm, i)
	case ir.Sext:
		e.extend(sbfm.sized(i.Size), i)
	case ir.Bswap:
		e.bswap(i)
	case ir.Lea:
		e.lea(i)
	case ir.Load:
		e.access(isLoad, e.reg(i, i.Dst), i)
	case ir.LoadSext:
		e.access(isLoadSext, e.reg(i, i.Dst), i)
	case ir.Store:
		e.access(0, e.value(i), i)
	case ir.AtomicAdd, ir.AtomicAnd, ir.AtomicOr, ir.AtomicXor, ir.Xchg, ir.Cmpxchg, ir.LoadAcquire, ir.StoreRelease:
		e.atomic(i)
	case ir.Call:
		e.call(i)
	case ir.Helper, ir.CallX, ir.TailCall, ir.Slow, ir.Packet:
		e.exit(i)
	case ir.Fuel:
		e.fuel(i)
	}
}

// sized is what an operation of size bytes sees of an immediate.
func sized(v int64, size uint8) uint64 {
	if size == 4 {
		return uint64(uint32(v))
	}
	return uint64(v)
}

// second gives the register with the second operand, which is tmp0 for an immediate.
func (e *Emitter) second(i *ir.Ins) reg {
	if i.B != ir.None {
		return e.reg(i, i.B)
	}
	e.constant(tmp0, sized(i.Imm, i.Size))
	return tmp0
}

// operation emits an operation on two registers. A division by 0 gives 0 here as in eBPF,
// so that the remainder is A without further ado.
func (e *Emitter) operation(i *ir.Ins) {
	d, n, m := e.reg(i, i.Dst), e.reg(i, i.A), e.second(i)
	f := operations[i.Op].sized(i.Size)
	switch i.Op {
	case ir.Rol:
		e.emit(subReg.sized(i.Size).d(tmp0).n(zr).m(m))
		m = tmp0
	case ir.Mod, ir.Smod:
		e.emit(f.d(tmp1).n(n).m(m))
		e.emit(msub.sized(i.Size).d(d).n(tmp1).m(m).a(n))
		return
	}
	e.emit(f.d(d).n(n).m(m))
}

// immediate emits an operation whose immediate fits into the instruction, and
// reports whether it does.
func (e *Emitter) immediate(i *ir.Ins) bool {
	d, n, v := e.reg(i, i.Dst), e.reg(i, i.A), sized(i.Imm, i.Size)
	count, last := uint8(v)&(8*i.Size-1), 8*i.Size-1
	switch i.Op {
	case ir.Add:
		e.add(i.Size, d, n, int64(v))
	case ir.Sub:
		e.add(i.Size, d, n, -int64(v))
	case ir.And, ir.Or, ir.Xor:
		mask, ok := bitmask(v, i.Size)
		if ok {
			e.emit(logical[i.Op].sized(i.Size).d(d).n(n) | mask)
		}
		return ok
	case ir.Shl:
		e.emit(ubfm.sized(i.Size).d(d).n(n).bits(-count&last, last-count))
	case ir.Shr:
		e.emit(ubfm.sized(i.Size).d(d).n(n).bits(count, last))
	case ir.Sar:
		e.emit(sbfm.sized(i.Size).d(d).n(n).bits(count, last))
	case ir.Rol:
		e.emit(extr.sized(i.Size).d(d).n(n).bits(0, -count&last).m(n))
	default:
		return false
	}
	return true
}

// logical has the forms of operations on a bitmask.
var logical = [...]form{
	ir.And: andImm,
	ir.Or:  orrImm,
	ir.Xor: eorImm,
}

// add puts n+v into d. Both may be SP, for 8 bytes. It may change tmp0.
func (e *Emitter) add(size uint8, d, n reg, v int64) {
	plus, minus := sized(v, size), sized(-v, size)
	if imm, ok := arithmetic(plus); ok {
		e.emit(addImm.sized(size).d(d).n(n).imm12(imm))
		return
	}
	if imm, ok := arithmetic(minus); ok {
		e.emit(subImm.sized(size).d(d).n(n).imm12(imm))
		return
	}
	e.constant(tmp0, plus)
	if d == sp || n == sp {
		e.emit(addExt.d(d).n(n).m(tmp0))
		return
	}
	e.emit(addReg.sized(size).d(d).n(n).m(tmp0))
}

func (e *Emitter) mov(i *ir.Ins) {
	d := e.reg(i, i.Dst)
	if i.A == ir.Frame {
		e.add(8, d, sp, int64(e.below(0)))
		return
	}
	e.move(i.Size, d, e.reg(i, i.A))
}

// move puts m into d. One of 4 bytes is never superfluous: it clears the others.
func (e *Emitter) move(size uint8, d, m reg) {
	if d != m || size == 4 {
		e.emit(orrReg.sized(size).d(d).n(zr).m(m))
	}
}

// extend emits a conversion from a smaller width.
func (e *Emitter) extend(f form, i *ir.Ins) {
	d, n := e.reg(i, i.Dst), e.reg(i, i.A)
	switch {
	case i.Width >= 8:
		e.move(8, d, n)
	case i.Width == 4 && f&wide == 0:
		e.move(4, d, n)
	default:
		e.emit(f.d(d).n(n).bits(0, 8*i.Width-1))
	}
}

func (e *Emitter) bswap(i *ir.Ins) {
	d, n := e.reg(i, i.Dst), e.reg(i, i.A)
	switch i.Width {
	case 8:
		e.emit(rev64.d(d).n(n))
	case 4:
		e.emit(rev32.d(d).n(n))
	default:
		e.emit(rev16.d(d).n(n))
		e.emit(ubfm.d(d).n(d).bits(0, 15))
	}
}
