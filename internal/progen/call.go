package progen

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/isa"
)

// Numbers of helpers that emitters call by themselves.
const (
	fnMapLookup = int32(asm.FnMapLookupElem)
	fnMapUpdate = int32(asm.FnMapUpdateElem)
	fnMapDelete = int32(asm.FnMapDeleteElem)
	fnTailCall  = int32(asm.FnTailCall)
	fnLoop      = int32(asm.FnLoop)
	fnMapPush   = int32(asm.FnMapPushElem)
	fnMapPop    = int32(asm.FnMapPopElem)
	fnMapPeek   = int32(asm.FnMapPeekElem)

	fnMapLookupPerCPU = int32(asm.FnMapLookupPercpuElem)
)

// maxLevel is the depth of calls, maxFuncs how many functions a program has.
const (
	maxLevel = 3
	maxFuncs = 5
)

func canCall(g *gen) bool { return g.f.level < maxLevel && len(g.funcs) < maxFuncs && g.depth <= 2 }

// args makes R1 to R5 numbers or, for base, R1 the pointer that it means.
func (g *gen) args(b base) {
	switch b {
	case baseCtx:
		g.load(isa.SizeDW, isa.R1, isa.R10, slotBase)
		g.held |= 1 << isa.R1
	case baseMem:
		g.pointer(isa.R1, g.dataAt(memBytes))
	}
}

// call calls a function: a new one, or one that exists.
func (g *gen) call() {
	var deeper []*function
	for _, f := range g.funcs {
		if f.level > g.f.level && !f.callback && (f.base != baseCtx || g.f.base == baseCtx) {
			deeper = append(deeper, f)
		}
	}
	var callee *function
	if len(deeper) > 0 && g.one(2) {
		callee = pick(g, deeper)
	} else {
		b := pick(g, []base{baseNone, baseMem, baseCtx})
		if b == baseCtx && g.f.base != baseCtx {
			b = baseMem
		}
		callee = g.function(b, g.f.level+1, 1+g.rand.IntN(5))
	}
	g.args(callee.base)
	g.callFunc(callee)
	g.release(callerSaved)
}

// bpfLoop calls bpf_loop with a new callback. How often is not known before the
// run: of a callback that is never called Linux 6.18 removes the code, and then
// fails to find the function (EFAULT).
func (g *gen) bpfLoop() {
	callback := g.callback(1 + g.rand.IntN(2))
	g.loadMap(isa.R1, isa.PseudoMapValue, g.mapOf(mapGlobal), 0)
	g.load(isa.SizeDW, isa.R1, isa.R1, int16(8*g.rand.IntN(globalBytes/8)))
	g.aluImm(isa.AluAND, isa.R1, pick(g, []int32{1, 3, 7}))
	g.held |= 1 << isa.R1
	g.loadFunc(isa.R2, callback)
	g.pointer(isa.R3, g.dataAt(memBytes))
	g.movImm(isa.R1+3, pick(g, []int32{0, 0, 0, 0, 0, 0, 0, 1}))
	g.callHelper(fnLoop)
	g.release(callerSaved)
}

// callback generates a function for bpf_loop: R1 is the index, R2 memory.
func (g *gen) callback(n int) *function {
	f := &function{base: baseMem, level: g.f.level + 1, data: 40, callback: true}
	outer := *g
	g.funcs = append(g.funcs, f)
	g.f, g.depth, g.forks = f, 1, 1
	g.held = 0x3ff &^ (1 << isa.R1)
	g.store(isa.SizeDW, isa.R10, slotBase, isa.R2)
	g.release(g.held)
	g.clearStack()
	g.block(n)
	g.fold()
	g.aluImm(isa.AluAND, isa.R0, 1) // 1 ends the loop
	g.add(isa.Instruction{Op: isa.ClassJMP | isa.JmpEXIT})
	g.f, g.held, g.depth, g.forks = outer.f, outer.held, outer.depth, outer.forks
	return f
}

func canTailCall(g *gen) bool { return g.f.base == baseCtx && !g.tail && g.f.level <= 1 }

// tailCall jumps to a program of the program array: another, the same again,
// or none.
func (g *gen) tailCall() {
	array := g.mapOf(mapProgs)
	if len(g.c.Progs) == 1 {
		g.c.Progs = append(g.c.Progs, nil)
		g.tail = true
		g.c.Progs[1] = g.program(1 + g.rand.IntN(6))
		g.tail = false
	}
	masks := []int32{1, 3, 7, -1}
	if g.f.level > 0 || g.c.Type == ebpf.SchedCLS {
		// Not the case's own program: it would run on top of this function's
		// caller, and again, up to 33 times, deeper than the machine's frames; and
		// it would call growers that often.
		masks = masks[:1]
	}
	index := g.reg()
	g.aluImm(isa.AluAND, index, pick(g, masks))
	g.movReg(isa.R1+2, index)
	g.load(isa.SizeDW, isa.R1, isa.R10, slotBase)
	g.loadMap(isa.R1+1, isa.PseudoMapFD, array, 0)
	g.callHelper(fnTailCall)
	g.release(callerSaved | 1<<isa.R0)
}
