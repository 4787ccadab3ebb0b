package progen

import (
	"github.com/skep-ebpf/skep/isa"
)

// base is what a function finds at [slotBase] of its stack.
type base uint8

const (
	baseNone base = iota
	baseCtx       // the context
	baseMem       // memBytes of its caller's stack
)

// Slots of each frame, as offsets from R10. The data slots lie below them and
// hold numbers.
const (
	slotBase    = -8
	slotKey     = -16
	slotCounter = -24 // of loops; one more for each depth below it
	slotData    = slotCounter - 8*maxDepth

	// memBytes is how much of its data a function passes to another.
	memBytes = 16
)

// function is one function of a program.
type function struct {
	insns []isa.Instruction
	calls []callSite
	base  base
	level int // depth of calls at which it runs; it calls deeper ones only
	data  int // bytes of its data slots
	// callback says that it is called by a helper.
	callback bool
}

// callSite is an instruction that refers to a function.
type callSite struct {
	at     int
	callee *function
}

// low is the offset of the lowest data slot.
func (f *function) low() int16 { return int16(slotData - f.data) }

// function generates a function of n statements. Arguments are a pointer in R1
// where its base says so, and numbers.
func (g *gen) function(b base, level, n int) *function {
	f := &function{base: b, level: level, data: 40}
	forks := forksInOther
	if level == 0 {
		f.data, forks = 96, forksInMain
	}
	outer := *g
	g.funcs = append(g.funcs, f)
	g.f, g.held, g.depth, g.forks = f, 0, 0, forks
	if level == 0 {
		g.prologue()
		g.block(n)
		g.epilogue()
	} else {
		g.enter(b, isa.R1)
		g.block(n)
		g.fold()
		g.add(isa.Instruction{Op: isa.ClassJMP | isa.JmpEXIT})
	}
	g.f, g.held, g.depth, g.forks = outer.f, outer.held, outer.depth, outer.forks
	return f
}

// enter saves the base that ptr holds and makes all else numbers. R1 to R5 are
// the arguments.
func (g *gen) enter(b base, ptr uint8) {
	g.held = 1<<isa.R0 | 1<<6 | 1<<7 | 1<<8 | 1<<9
	if b != baseNone {
		g.store(isa.SizeDW, isa.R10, slotBase, ptr)
		g.held |= 1 << ptr
	}
	g.release(g.held)
	g.clearStack()
}

// clearStack initialises the key, the counters and the data slots.
func (g *gen) clearStack() {
	for off := int16(slotKey); off >= g.f.low(); off -= 8 {
		if off > slotData-8 || g.one(4) {
			g.storeImm(isa.SizeDW, isa.R10, off, g.imm())
		} else {
			g.store(isa.SizeDW, isa.R10, off, g.reg())
		}
	}
}

// prologue fills registers and stack from the map of edge values.
func (g *gen) prologue() {
	g.store(isa.SizeDW, isa.R10, slotBase, isa.R1)
	g.loadMap(isa.R1, isa.PseudoMapValue, g.mapOf(mapGlobal), 0)
	for _, r := range []uint8{0, 2, 3, 4, 5, 6, 7, 8, 9, 1} {
		g.load(isa.SizeDW, r, isa.R1, int16(8*g.rand.IntN(globalBytes/8)))
	}
	g.clearStack()
}

// epilogue stores registers and stack into the result map, and returns a number
// made from the registers.
func (g *gen) epilogue() {
	low := g.f.low() - 80
	for r := range uint8(10) {
		g.store(isa.SizeDW, isa.R10, low+8*int16(r), r)
	}
	g.fold()
	g.movReg(6, isa.R0)
	g.storeImm(isa.SizeW, isa.R10, slotKey, 0)
	g.loadMap(1, isa.PseudoMapFD, g.mapOf(mapResult), 0)
	g.movReg(2, isa.R10)
	g.aluImm(isa.AluADD, 2, slotKey)
	g.movReg(3, isa.R10)
	g.aluImm(isa.AluADD, 3, int32(low))
	g.movImm(4, 0)
	g.callHelper(fnMapUpdate)
	g.aluReg(isa.AluXOR, isa.R0, 6)
	g.add(isa.Instruction{Op: isa.ClassJMP | isa.JmpEXIT})
}

// resultBytes is what the result map holds: registers, then stack.
const resultBytes = 80 + 96

// fold makes R0 depend on all registers.
func (g *gen) fold() {
	for r := uint8(1); r < 10; r++ {
		g.aluReg(pick(g, []uint8{isa.AluADD, isa.AluSUB, isa.AluXOR}), isa.R0, r)
	}
	g.movReg(isa.R1, isa.R0)
	g.aluImm(isa.AluRSH, isa.R1, 32)
	g.aluReg(isa.AluXOR, isa.R0, isa.R1)
}

// link lays functions one behind the other and resolves the calls between them.
func link(funcs []*function) []isa.Instruction {
	var insns []isa.Instruction
	start := map[*function]int{}
	for _, f := range funcs {
		start[f] = len(insns)
		insns = append(insns, f.insns...)
	}
	for _, f := range funcs {
		for _, c := range f.calls {
			at := start[f] + c.at
			insns[at].Imm = int32(start[c.callee] - at - 1)
		}
	}
	return insns
}
