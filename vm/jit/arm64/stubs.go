package arm64

import "github.com/skep-ebpf/skep/vm/jit/abi"

// The registers that the stubs take.
const (
	exitCode = scratch0 // leave
	exitArg  = scratch1
	resumeAt = tmp3
	context  = scratch0 // enter and resume, and the code that goes on behind resume
	fuelBack = scratch0 // where to go on when there is fuel again
)

// keptByFuel are the registers that may have something where the budget is used up.
const keptByFuel = allRegs &^ (1<<tmp0 | 1<<tmp1 | 1<<tmp2 | 1<<tmp3 | 1<<scratch1)

// fuelStack is how many bytes of stack the stub takes when the budget is used up.
var fuelStack = int32(8*keptByFuel.Count()+15) &^ 15

// leaving is where the stub that leaves begins.
const leaving = 0

// stubs emits what [abi] wants at the front of each program. The first stub is the one
// that leaves.
//
// A processor predicts that a return goes back behind the call made last. As native
// code is left between a call and a return, both for what Go enters and for how it is
// left, neither is used there.
func (e *Emitter) stubs() {
	e.findContext(tmp2)
	e.contextPair(storePair, 1, 2, tmp2, abi.OffArgs)
	e.contextPair(storePair, 3, 4, tmp2, abi.OffArgs+16)
	e.contextWord(0, 5, tmp2, abi.OffArgs+32)
	e.contextWord(0, exitArg, tmp2, abi.OffArg)
	e.contextWord(0, resumeAt, tmp2, abi.OffResume)
	e.toGo(exitCode)

	e.out.Enter = offset(e.here())
	e.takeStack()
	e.contextPair(loadPair, 1, 2, context, abi.OffArgs)
	e.contextPair(loadPair, 3, 4, context, abi.OffArgs+16)
	e.contextWord(isLoad, 5, context, abi.OffArgs+32)
	e.contextWord(isLoad, budget, context, abi.OffBudget)
	e.contextWord(isLoad, tmp0, context, abi.OffFunc)
	e.emit(distance(adr.d(lr), 2))
	e.emit(br.n(tmp0))
	e.findContext(tmp2)
	e.contextWord(0, 0, tmp2, abi.OffR0)
	e.toGo(zr) // ExitDone

	e.out.Resume = offset(e.here())
	e.takeStack()
	e.contextWord(isLoad, budget, context, abi.OffBudget)
	e.contextWord(isLoad, 0, context, abi.OffR0)
	e.contextWord(isLoad, tmp0, context, abi.OffResume)
	e.emit(br.n(tmp0))

	e.out.Return = offset(e.here())
	e.emit(br.n(lr))

	// Where the budget is used up is jumped to with the instruction in exitArg and where
	// to go on in fuelBack, and keeps all registers.
	e.outOfFuel = e.here()
	e.add(8, sp, sp, -int64(fuelStack))
	e.pairs(keptByFuel, 0, 0)
	e.leave(abi.ExitFuel)
	e.pairs(keptByFuel, isLoad, 0)
	e.add(8, sp, sp, int64(fuelStack))
	e.emit(br.n(fuelBack))
}

// toGo ends the stubs that leave; the context's address is in tmp2, and the exit's code in
// a register.
func (e *Emitter) toGo(code reg) {
	e.emit(store.width(4).d(code).n(tmp2).imm12(uint32(abi.OffExit / 4)))
	e.contextWord(0, budget, tmp2, abi.OffBudget)
	e.emit(addImm.sized(8).d(tmp0).n(sp))
	e.contextWord(0, tmp0, tmp2, abi.OffSP)
	e.contextWord(isLoad, tmp0, tmp2, abi.OffGoSP)
	e.contextPair(loadPair, fp, lr, tmp2, abi.OffGoBP) // and OffGoLR
	e.emit(addImm.sized(8).d(sp).n(tmp0))
	e.emit(ret.n(lr))
}

// findContext finds the context from within native code. It may change tmp0.
func (e *Emitter) findContext(d reg) {
	mask, _ := bitmask(^uint64(abi.StackBytes-1), 8)
	e.emit(addImm.sized(8).d(tmp0).n(sp))
	e.emit(andImm.sized(8).d(d).n(tmp0) | mask)
}

// takeStack takes the native stack pointer from the context.
func (e *Emitter) takeStack() {
	e.contextWord(isLoad, tmp0, context, abi.OffSP)
	e.emit(addImm.sized(8).d(sp).n(tmp0))
}

// contextWord emits a store of r to a field of 8 bytes of the context, whose address is
// in c, or a load.
func (e *Emitter) contextWord(direction form, r, c reg, off uintptr) {
	e.emit((store | direction).width(8).d(r).n(c).imm12(uint32(off / 8)))
}

// contextPair is the same for two fields beside each other.
func (e *Emitter) contextPair(f form, r, r2, c reg, off uintptr) {
	e.emit(f.sized(8).d(r).a(r2).n(c).imm7(int32(off / 8)))
}
