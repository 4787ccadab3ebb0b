package arm64

import (
	"github.com/skep-ebpf/skep/vm/jit/abi"
	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// resumeAt is where the leave stub wants the address to resume at.
const resumeAt = tmp3

// stubs emits what [abi] wants at the front of each program.
func (e *emitter) stubs(code *ir.Code) {
	const entered = scratch0 // where Go's trampoline has the context's address
	const t = tmp0

	code.Enter = offset(e.here())
	e.takeStack(entered)
	e.contextPair(loadPair, 1, 2, entered, abi.OffArgs)
	e.contextPair(loadPair, 3, 4, entered, abi.OffArgs+16)
	e.contextWord(isLoad, 5, entered, abi.OffArgs+32)
	e.contextWord(isLoad, budget, entered, abi.OffBudget)
	e.contextWord(isLoad, t, entered, abi.OffFunc)
	e.emit(blr.n(t))
	e.context(tmp2)
	e.contextWord(0, 0, tmp2, abi.OffR0)
	e.contextWord(0, budget, tmp2, abi.OffBudget)
	e.contextExit(zr) // ExitDone
	toGo := e.here()
	e.contextWord(isLoad, t, tmp2, abi.OffGoSP)
	e.contextPair(loadPair, fp, lr, tmp2, abi.OffGoBP) // and OffGoLR
	e.emit(addImm.sized(8).d(sp).n(t))
	code.Return = offset(e.here())
	e.emit(ret.n(lr))

	code.Resume = offset(e.here())
	e.takeStack(entered)
	e.contextWord(isLoad, budget, entered, abi.OffBudget)
	e.contextWord(isLoad, 0, entered, abi.OffR0)
	e.contextWord(isLoad, t, entered, abi.OffResume)
	e.emit(br.n(t))

	e.leaving = e.here()
	e.context(tmp2)
	e.contextPair(storePair, 1, 2, tmp2, abi.OffArgs)
	e.contextPair(storePair, 3, 4, tmp2, abi.OffArgs+16)
	e.contextWord(0, 5, tmp2, abi.OffArgs+32)
	e.contextWord(0, budget, tmp2, abi.OffBudget)
	e.emit(addImm.sized(8).d(t).n(sp))
	e.contextPair(storePair, t, resumeAt, tmp2, abi.OffSP) // and OffResume
	e.contextExit(scratch0)
	e.contextWord(0, scratch1, tmp2, abi.OffArg)
	e.emit(distance(b, toGo-e.here()))
}

// context puts the address of the context into d. It may change tmp0.
func (e *emitter) context(d reg) {
	mask, _ := bitmask(^uint64(abi.StackBytes-1), 8)
	e.emit(addImm.sized(8).d(tmp0).n(sp))
	e.emit(andImm.sized(8).d(d).n(tmp0) | mask)
}

// takeStack takes the native stack pointer from the context.
func (e *emitter) takeStack(context reg) {
	e.contextWord(isLoad, tmp0, context, abi.OffSP)
	e.emit(addImm.sized(8).d(sp).n(tmp0))
}

// contextWord emits a store of r to a field of 8 bytes of the context, or a load.
func (e *emitter) contextWord(direction form, r, context reg, off uintptr) {
	e.emit((store | direction).width(8).d(r).n(context).imm12(uint32(off / 8)))
}

// contextPair is the same for two fields beside each other.
func (e *emitter) contextPair(f form, r, r2, context reg, off uintptr) {
	e.emit(f.d(r).a(r2).n(context).imm7(int32(off / 8)))
}

// contextExit emits a store of r as the exit's code, with the context's address in
// tmp2.
func (e *emitter) contextExit(r reg) {
	e.emit(store.width(4).d(r).n(tmp2).imm12(uint32(abi.OffExit / 4)))
}
