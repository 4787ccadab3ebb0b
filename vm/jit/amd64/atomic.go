package amd64

import "github.com/skep-ebpf/skep/vm/jit/ir"

// word checks the width of an atomic operation.
func (e *Emitter) word(i *ir.Ins) {
	if i.Width != 4 && i.Width != 8 {
		e.fail(i, "accesses %d bytes at once and atomically", i.Width)
	}
}

// atomic changes memory with an operation, and gives what was there if that is asked
// for. Only an addition can do so in one instruction.
func (e *Emitter) atomic(i *ir.Ins) {
	op := [...]ir.Op{ir.Add, ir.And, ir.Or, ir.Xor}[i.Op-ir.AtomicAdd]
	switch {
	case i.Dst == ir.None:
		e.word(i)
		e.rm(lock|opcode(digits[op]<<3|1), i.Width, e.reg(i, i.C), e.addressA(i))
	case i.Op == ir.AtomicAdd:
		e.exchange(i, lock|opXadd)
	default:
		e.fetch(i, op)
	}
}

// exchange is an instruction that exchanges a register with memory.
func (e *Emitter) exchange(i *ir.Ins, o opcode) {
	e.word(i)
	m, c, d := e.addressA(i), e.reg(i, i.C), e.reg(i, i.Dst)
	t := d
	if d == m.base { // needed until it is overwritten
		t = r11
		if d == r11 {
			t = r10
		}
	}
	if t != c {
		e.mov(8, t, c)
	}
	e.rm(o, i.Width, t, m)
	if t != d {
		e.mov(8, d, t)
	}
}

// cmpxchg stores C if memory has what B has. RAX is what it compares with.
func (e *Emitter) cmpxchg(i *ir.Ins) {
	e.word(i)
	m, b, c, d := e.addressA(i), e.reg(i, i.B), e.reg(i, i.C), e.reg(i, i.Dst)
	used := ir.RegSet(1<<rax | 1<<d | 1<<b | 1<<c | 1<<m.base)
	kept := rax
	if d != rax || b != rax && (m.base == rax || c == rax) {
		kept = e.temp(&used)
		e.mov(8, kept, rax)
	}
	if b != rax {
		m.base, c = instead(m.base, kept), instead(c, kept)
		e.mov(8, rax, b)
	}
	e.rm(lock|opCmpxchg, i.Width, c, m)
	e.mov(i.Width, d, rax)
	if d != rax {
		e.mov(8, rax, kept)
	}
	e.giveBack()
}

// fetch is a loop that ends when nobody else changed memory meanwhile.
func (e *Emitter) fetch(i *ir.Ins, op ir.Op) {
	e.word(i)
	m, c, d := e.addressA(i), e.reg(i, i.C), e.reg(i, i.Dst)
	used := ir.RegSet(1<<rax | 1<<d | 1<<c | 1<<m.base)
	kept := rax
	if d != rax || m.base == rax || c == rax {
		kept = e.temp(&used)
		e.mov(8, kept, rax)
		m.base, c = instead(m.base, kept), instead(c, kept)
	}
	t, again := e.temp(&used), e.label()
	e.rm(opLoad, i.Width, rax, m)
	e.place(again)
	e.mov(8, t, rax)
	e.rr(opcode(digits[op]<<3|1), i.Width, c, t)
	e.rm(lock|opCmpxchg, i.Width, t, m)
	e.point(pointCond, again, ccNE)
	e.mov(i.Width, d, rax)
	if d != rax {
		e.mov(8, rax, kept)
	}
	e.giveBack()
}

// instead is the register that has what r had before RAX was needed.
func instead(r, kept ir.Reg) ir.Reg {
	if r == rax {
		return kept
	}
	return r
}
