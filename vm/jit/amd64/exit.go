package amd64

import (
	"math/bits"
	"sync"

	"github.com/skep-ebpf/skep/vm/jit/abi"
	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// The registers that the stubs take.
const (
	exitCode = r10 // leave
	exitArg  = r11
	resumeAt = r9
	context  = r11 // enter and resume, and the code that goes on behind resume
)

// leaving is the offset of the stub that leaves.
const leaving = 0

// ctxAt is the operand at an offset into the context, whose address is in r.
func ctxAt(r ir.Reg, off uintptr) address { return at(r, int32(off)) }

// argAt is the operand for R1 and what follows.
func argAt(r ir.Reg, k int) address { return ctxAt(r, abi.OffArgs+8*uintptr(k)) }

// findContext finds the context from within native code.
func (e *Emitter) findContext(r ir.Reg) {
	e.mov(8, r, rsp)
	e.group1(dAnd, 8, r, -abi.StackBytes)
}

// stubs is the code at each program's front. The first stub is the one that leaves.
//
// A processor predicts that a return goes back behind the call made last. As native
// code is left between a call and a return, both for what Go enters and for how it is
// left, neither is used there: a return address is pushed or popped, and jumped to.
var stubs = sync.OnceValue(func() *Emitter {
	var e Emitter
	e.begin(0)
	e.findContext(rax)
	for k, r := range Target.Fixed[1:] {
		e.rm(opStore, 8, r, argAt(rax, k))
	}
	e.rm(opStore, 8, exitArg, ctxAt(rax, abi.OffArg))
	e.rm(opStore, 8, resumeAt, ctxAt(rax, abi.OffResume))
	e.backToGo(rax)

	enter, done := e.here(), e.label()
	e.rm(opLoad, 8, rsp, ctxAt(context, abi.OffSP))
	for k, r := range Target.Fixed[1:] {
		e.rm(opLoad, 8, r, argAt(context, k))
	}
	e.rm(opLoad, 8, budget, ctxAt(context, abi.OffBudget))
	e.point(pointAddress, done, 0)
	e.push(r9)
	e.rm(opGroup5, 4, dJmp, ctxAt(context, abi.OffFunc))
	e.place(done)
	e.findContext(rdx)
	e.rm(opStore, 8, rax, ctxAt(rdx, abi.OffR0))
	e.constant(exitCode, abi.ExitDone)
	e.backToGo(rdx)

	resume := e.here()
	e.rm(opLoad, 8, rsp, ctxAt(context, abi.OffSP))
	e.rm(opLoad, 8, budget, ctxAt(context, abi.OffBudget))
	e.rm(opLoad, 8, rax, ctxAt(context, abi.OffR0))
	e.rm(opGroup5, 4, dJmp, ctxAt(context, abi.OffResume))

	ret := e.here()
	e.returnToStub()

	// Where the budget is used up is called with the instruction in exitArg, and keeps
	// all registers.
	fuel := e.here()
	for r := rax; r <= r15; r++ {
		if keptByFuel.Has(r) {
			e.push(r)
		}
	}
	e.leave(abi.ExitFuel)
	for r := r15; r <= r15; r-- {
		if keptByFuel.Has(r) {
			e.pop(r)
		}
	}
	e.put(opRet, 1)

	e.finish()
	e.Enter, e.Resume, e.Return = uint32(e.labels[enter]), uint32(e.labels[resume]), uint32(e.labels[ret])
	e.outOfFuel = e.labels[fuel]
	return &e
})

// keptByFuel are the registers that may have something where the budget is used up.
const keptByFuel = allRegs &^ (1<<r10 | 1<<r11)

// fuelStack is how many bytes of stack the stub takes when the budget is used up.
var fuelStack = 8 + 8*uint32(bits.OnesCount32(uint32(keptByFuel)))

// returnToStub returns to the enter stub.
func (e *Emitter) returnToStub() {
	e.pop(rcx)
	e.rr(opGroup5, 4, dJmp, rcx)
}

// backToGo ends the stubs that leave; the context's address is in r.
func (e *Emitter) backToGo(r ir.Reg) {
	e.rm(opStore, 4, exitCode, ctxAt(r, abi.OffExit))
	e.rm(opStore, 8, budget, ctxAt(r, abi.OffBudget))
	e.rm(opStore, 8, rsp, ctxAt(r, abi.OffSP))
	e.rm(opLoad, 8, rsp, ctxAt(r, abi.OffGoSP))
	e.rm(opLoad, 8, rbp, ctxAt(r, abi.OffGoBP))
	e.put(opRet, 1)
}

// coldKind is what a piece of code does that is hardly ever needed.
type coldKind uint8

const (
	coldFuel       coldKind = iota // the budget is used up
	coldByZero                     // a division by 0
	coldByMinusOne                 // a signed one by -1
	coldReturn                     // a packet load has ended the function
	coldTailCall                   // another program takes over
)

// cold is such a piece. It lies behind the function's other code.
type cold struct {
	kind        coldKind
	ins         *ir.Ins
	label, back int32
}

// later puts off a piece of code, and gives its label. It goes on at back.
func (e *Emitter) later(kind coldKind, i *ir.Ins, back int32) int32 {
	c := cold{kind, i, e.label(), back}
	e.colds = append(e.colds, c)
	return c.label
}

// cold makes a piece of code that was put off.
func (e *Emitter) cold(c cold) {
	e.place(c.label)
	switch c.kind {
	case coldFuel:
		e.refuel(c.ins)
	case coldByZero:
		e.divideOdd(c.ins, 0)
	case coldByMinusOne:
		e.divideOdd(c.ins, -1)
	case coldReturn:
		e.ret()
		return
	case coldTailCall:
		e.rm(opLoad, 8, Target.Fixed[1], argAt(context, 0))
		e.freeFrame()
		e.rm(opGroup5, 4, dJmp, ctxAt(context, abi.OffArg))
		return
	}
	e.jump(c.back)
}

// save stores the registers that live across an instruction that leaves.
func (e *Emitter) save(i *ir.Ins) { e.each(opStore, i) }

// restore loads them again.
func (e *Emitter) restore(i *ir.Ins) { e.each(opLoad, i) }

func (e *Emitter) each(o opcode, i *ir.Ins) {
	for s := e.prog.Saved(i); s != 0; s &= s - 1 {
		r := ir.Reg(bits.TrailingZeros32(uint32(s)))
		e.rm(o, 8, r, at(rsp, e.slots[r]))
	}
}

// call calls another function of the program.
func (e *Emitter) call(i *ir.Ins) {
	e.save(i)
	e.point(pointCall, int32(e.Entries[i.Imm]), 0)
	e.deep = max(e.deep, e.Stacks[i.Imm])
	e.restore(i)
}

// leave leaves native code and goes on here.
func (e *Emitter) leave(code int64) {
	back := e.label()
	e.constant(exitCode, code)
	e.point(pointAddress, back, 0)
	e.point(pointTail, leaving, 0)
	e.place(back)
}

// exits say why each operation leaves.
var exits = [...]int64{
	ir.Helper:   abi.ExitHelper,
	ir.CallX:    abi.ExitCallX,
	ir.TailCall: abi.ExitTailCall,
	ir.Slow:     abi.ExitSlow,
	ir.Packet:   abi.ExitPacket,
}

// exit has Go do what an instruction does.
func (e *Emitter) exit(i *ir.Ins) {
	e.save(i)
	switch i.Op {
	case ir.Helper:
		e.constant(exitArg, i.Imm)
	case ir.CallX:
		e.mov(8, exitArg, e.reg(i, i.A))
	case ir.TailCall:
		e.constant(exitArg, int64(i.At))
	case ir.Slow, ir.Packet:
		e.arguments(i)
		e.constant(exitArg, int64(i.At))
	}
	e.leave(exits[i.Op])
	switch i.Op {
	case ir.TailCall:
		e.unless(e.later(coldTailCall, i, 0))
	case ir.Packet:
		e.unless(e.later(coldReturn, i, 0))
	}
	if i.Dst != ir.None {
		e.mov(8, e.reg(i, i.Dst), rax)
	}
	e.restore(i)
}

// unless goes to a piece of code unless Go has set Context.Arg to 0.
func (e *Emitter) unless(label int32) {
	e.rm(opGroup18, 8, dCmp, ctxAt(context, abi.OffArg))
	e.put(0, 1)
	e.point(pointCond, label, ccNE)
}

// fuel takes from the budget, and leaves where nothing is left.
func (e *Emitter) fuel(i *ir.Ins) {
	e.spend(i)
	back := e.label()
	e.point(pointCond, e.later(coldFuel, i, back), ccL)
	e.place(back)
}

// fuelJump is that and a jump, which is the same one as long as something is left.
func (e *Emitter) fuelJump(i *ir.Ins, to int32) {
	e.spend(i)
	e.point(pointCond, to, ccGE)
	e.refuel(i)
	e.jump(to)
}

// spend takes from the budget, which is less than 0 then where nothing is left.
func (e *Emitter) spend(i *ir.Ins) {
	if !fits32(i.Imm) {
		e.fail(i, "takes %d from the budget at once", i.Imm)
		return
	}
	e.deep = max(e.deep, fuelStack)
	e.addImm(8, budget, int32(-i.Imm))
}

// refuel leaves as nothing is left.
func (e *Emitter) refuel(i *ir.Ins) {
	e.constant(exitArg, int64(i.At))
	e.point(pointCall, e.outOfFuel, 0)
}

// trap leaves for good.
func (e *Emitter) trap(i *ir.Ins) {
	e.constant(exitArg, int64(i.At))
	e.leave(abi.ExitTrap)
}

// arguments moves what an instruction that Go does works on to R1, R2 and R3: address
// or R6, what is stored or the index, what is expected.
func (e *Emitter) arguments(i *ir.Ins) {
	from := [3]ir.Var{i.A, i.C, i.B}
	if i.Op == ir.Packet {
		from = [3]ir.Var{i.A, i.B, ir.None}
	}
	var dst, src [3]ir.Reg
	n := 0
	for k, v := range from {
		if v == ir.None {
			continue
		}
		if r := e.reg(i, v); r != Target.Fixed[k+1] {
			dst[n], src[n] = Target.Fixed[k+1], r
			n++
		}
	}
	for n > 0 {
		// A move whose destination no other one reads, if there is one.
		at := -1
		for k := range n {
			read := false
			for o := range n {
				read = read || o != k && src[o] == dst[k]
			}
			if !read {
				at = k
			}
		}
		if at >= 0 {
			e.mov(8, dst[at], src[at])
		} else { // only cycles are left
			at = 0
			e.rr(opXchg, 8, dst[0], src[0])
			for o := 1; o < n; o++ {
				if src[o] == dst[0] {
					src[o] = src[0]
				}
			}
		}
		n--
		dst[at], src[at] = dst[n], src[n]
		// What came home by an exchange is done.
		for k := 0; k < n; {
			if dst[k] == src[k] {
				n--
				dst[k], src[k] = dst[n], src[n]
				continue
			}
			k++
		}
	}
}
