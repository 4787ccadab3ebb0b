package edgegen

import (
	"math/rand/v2"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/isa"
)

// Loops makes a program of numbers, as [Numbers] does, that are counted in loops: up
// and down, in both widths, inside each other, with bounds that are right or nearly so.
// Counters become offsets into the map's value.
func Loops(r *rand.Rand) *Program {
	g := &gen{Rand: r, maps: []*ebpf.MapSpec{
		{Name: "array", Type: ebpf.Array, KeySize: 4, ValueSize: 64, MaxEntries: 1},
	}}
	g.emit(isa.OpLDDW, numberBase, isa.PseudoMapValue, 0, 0)
	g.emit(0, 0, 0, 0, 0)
	for _, dst := range numberRegs {
		if g.unknownWidth(dst); r.IntN(2) == 0 {
			g.emit(isa.ClassALU64|isa.AluAND, dst, 0, 0, 1<<g.IntN(8)-1)
		}
	}
	for n := range counterRegs {
		g.emit(isa.ClassALU64|isa.AluMOV, counterRegs[n], 0, 0, g.Int32N(4))
	}
	for range 1 + r.IntN(3) {
		g.turns()
	}
	g.finish()
	return &Program{g.insns, g.maps}
}

// counterRegs count, mostly one for each loop inside another.
var counterRegs = [...]uint8{2, 3, 4}

// copyReg holds a copy of a counter.
const copyReg = 5

var loopStatements []func(*gen)

func init() {
	loopStatements = []func(*gen){
		(*gen).calculate, (*gen).leave, (*gen).skip, (*gen).linked, (*gen).spillNumber, (*gen).mask, (*gen).offset,
		(*gen).index, (*gen).index, (*gen).index, (*gen).turns, (*gen).turns, (*gen).drift,
	}
}

func (g *gen) counter() uint8 {
	if g.IntN(12) == 0 {
		return counterRegs[g.IntN(len(counterRegs))]
	}
	return counterRegs[min(g.depth, len(counterRegs)-1)]
}

// turns makes a loop.
func (g *gen) turns() {
	if g.depth > 2 || len(g.insns) > maxInsns/2 {
		return
	}
	counter, up := g.counter(), g.IntN(3) > 0
	limit := []int32{1, 3, 8, 10, 16, 31, 32, 60, 64, 255}[g.IntN(10)]
	switch from := []int32{0, 0, 1, limit, -limit, g.small()}; {
	case g.IntN(6) == 0:
		g.emit(isa.ClassALU64|isa.AluMOV|isa.SrcX, counter, g.numberReg(), 0, 0)
	case up:
		g.emit(isa.ClassALU64|isa.AluMOV, counter, 0, 0, from[g.IntN(len(from))])
	default:
		g.emit(isa.ClassALU64|isa.AluMOV, counter, 0, 0, limit)
		limit = from[g.IntN(3)]
	}
	head := len(g.insns)
	var out []int
	if g.IntN(3) == 0 {
		out = append(out, g.passes(counter, limit, !up))
	}
	inSlot := g.IntN(5) == 0
	if inSlot {
		g.emit(isa.ClassSTX|isa.ModeMEM|isa.SizeDW, 10, counter, int16(-24-8*g.depth), 0)
	}
	g.depth++
	for range 1 + g.IntN(3) {
		loopStatements[g.IntN(len(loopStatements))](g)
	}
	g.depth--
	if inSlot {
		g.emit(isa.ClassLDX|isa.ModeMEM|isa.SizeDW, counter, 10, int16(-24-8*g.depth), 0)
	}
	compared := counter
	if g.IntN(6) == 0 {
		compared = copyReg
		g.emit(isa.ClassALU64|isa.AluMOV|isa.SrcX, copyReg, counter, 0, 0)
	}
	g.step(counter, up)
	var back int
	if len(out) > 0 && g.IntN(2) == 0 {
		back = g.emit(isa.ClassJMP|isa.JmpJA, 0, 0, 0, 0)
	} else {
		back = g.passes(compared, limit, up)
	}
	g.insns[back].Off = int16(head - back - 1)
	for _, at := range out {
		g.insns[at].Off = int16(len(g.insns) - at - 1)
	}
}

// step adds to a counter or subtracts, most of the time in the right direction.
func (g *gen) step(counter uint8, up bool) {
	class, _ := g.class()
	if g.IntN(3) > 0 {
		class = isa.ClassALU64
	}
	by := []int32{1, 1, 1, 2, 3, 4, 8}[g.IntN(7)]
	op := uint8(isa.AluADD)
	if !up {
		by = -by
	}
	if g.IntN(4) == 0 {
		op, by = isa.AluSUB, -by
	}
	switch g.IntN(12) {
	case 0:
		by = g.small()
	case 1:
		r := g.numberReg()
		g.emit(isa.ClassALU64|isa.AluAND, r, 0, 0, 7)
		g.emit(isa.ClassALU64|isa.AluOR, r, 0, 0, g.Int32N(2))
		g.emit(class|op|isa.SrcX, counter, r, 0, 0)
		return
	case 2: // on one side only
		at := g.relation(g.numberReg())
		g.emit(class|op, counter, 0, 0, by)
		g.insns[at].Off = int16(len(g.insns) - at - 1)
		if g.IntN(2) == 0 {
			return
		}
	}
	g.emit(class|op, counter, 0, 0, by)
}

// passes compares a counter with its limit: a jump that is taken while it lies below,
// or above.
func (g *gen) passes(counter uint8, limit int32, below bool) int {
	ops := []uint8{isa.JmpJLT, isa.JmpJLT, isa.JmpJLE, isa.JmpJNE, isa.JmpJSLT, isa.JmpJSLE}
	if !below {
		ops = []uint8{isa.JmpJGT, isa.JmpJGT, isa.JmpJGE, isa.JmpJNE, isa.JmpJSGT, isa.JmpJSGE}
	}
	op := ops[g.IntN(len(ops))]
	if g.IntN(16) == 0 {
		op = jumpOps[g.IntN(len(jumpOps))]
	}
	class := []uint8{isa.ClassJMP, isa.ClassJMP, isa.ClassJMP32}[g.IntN(3)]
	if g.IntN(6) == 0 {
		return g.emit(class|op|isa.SrcX, counter, g.numberReg(), 0, 0)
	}
	return g.emit(class|op, counter, 0, 0, limit)
}

// index accesses the map's value at a counter.
func (g *gen) index() {
	counter := counterRegs[min(max(g.depth-1, 0), len(counterRegs)-1)]
	g.emit(isa.ClassALU64|isa.AluMOV|isa.SrcX, numberPtr, numberBase, 0, 0)
	g.emit(isa.ClassALU64|isa.AluADD|isa.SrcX, numberPtr, counter, 0, 0)
	size := sizes[g.IntN(len(sizes))]
	off := int16([]int{0, 0, 0, -1, 64 - size.bytes, 1, -8, 32}[g.IntN(8)])
	if g.IntN(3) == 0 {
		g.emit(isa.ClassSTX|isa.ModeMEM|size.bits, numberPtr, g.numberReg(), off, 0)
		return
	}
	g.emit(isa.ClassLDX|isa.ModeMEM|size.bits, g.numberReg(), numberPtr, off, 0)
}

// drift changes a number a little, from turn to turn.
func (g *gen) drift() {
	class, _ := g.class()
	g.emit(class|isa.AluADD, g.numberReg(), 0, 0, []int32{1, -1, 2, 4, 8}[g.IntN(5)])
}
