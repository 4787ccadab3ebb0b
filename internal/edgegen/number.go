package edgegen

import (
	"math/rand/v2"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/isa"
)

// Numbers makes a program about numbers only: loaded from a map's value, calculated
// and compared in all widths, they become offsets into the same value that just fit,
// or just do not.
func Numbers(r *rand.Rand) *Program {
	g := &gen{Rand: r, maps: []*ebpf.MapSpec{
		{Name: "array", Type: ebpf.Array, KeySize: 4, ValueSize: 64, MaxEntries: 1},
	}}
	g.emit(isa.OpLDDW, numberBase, isa.PseudoMapValue, 0, 0)
	g.emit(0, 0, 0, 0, 0)
	for _, dst := range numberRegs {
		g.unknownWidth(dst)
	}
	for range 2 + r.IntN(12) {
		numberStatements[r.IntN(len(numberStatements))](g)
	}
	for range 1 + r.IntN(2) {
		g.offset()
	}
	g.finish()
	return &Program{g.insns, g.maps}
}

// numberRegs hold numbers throughout, numberBase points to the map's value, and
// numberPtr is made of both.
var numberRegs = [...]uint8{0, 1, 6, 7}

const (
	numberPtr  = 8
	numberBase = 9
)

var numberStatements []func(*gen)

func init() {
	numberStatements = []func(*gen){
		(*gen).calculate, (*gen).calculate, (*gen).calculate, (*gen).calculate, (*gen).leave, (*gen).leave, (*gen).leave,
		(*gen).skip, (*gen).extend, (*gen).linked, (*gen).spillNumber, (*gen).mask, (*gen).repeat,
	}
}

func (g *gen) numberReg() uint8 { return numberRegs[g.IntN(len(numberRegs))] }

// class is of 32 or 64 bits.
func (g *gen) class() (class uint8, width int32) {
	if g.IntN(2) == 0 {
		return isa.ClassALU, 32
	}
	return isa.ClassALU64, 64
}

// unknownWidth loads a number of which only the width is known.
func (g *gen) unknownWidth(dst uint8) {
	size, mode := sizes[g.IntN(len(sizes))], uint8(isa.ModeMEM)
	if size.bytes < 8 && g.IntN(3) == 0 {
		mode = isa.ModeMEMSX
	}
	g.emit(isa.ClassLDX|mode|size.bits, dst, numberBase, int16(8*g.IntN(8)), 0)
}

// calculate changes a number by another, or by a constant.
func (g *gen) calculate() {
	class, width := g.class()
	op := aluOps[g.IntN(len(aluOps))]
	dst := g.numberReg()
	var off int16
	if op == isa.AluDIV || op == isa.AluMOD {
		off = int16(g.IntN(2))
	}
	switch {
	case op == isa.AluNEG:
		g.emit(class|op, dst, 0, 0, 0)
	case op == isa.AluEND:
		g.emit(isa.ClassALU|op|[]uint8{isa.SrcK, isa.SrcX}[g.IntN(2)], dst, 0, 0, []int32{16, 32, 64}[g.IntN(3)])
	case op == isa.AluLSH || op == isa.AluRSH || op == isa.AluARSH:
		g.emit(class|op, dst, 0, 0, []int32{1, 2, width / 2, width - 1, g.Int32N(width)}[g.IntN(5)])
	case g.IntN(3) == 0:
		g.emit(class|op|isa.SrcX, dst, g.numberReg(), off, 0)
	default:
		imm := g.any()
		if imm == 0 {
			imm = 1
		}
		g.emit(class|op, dst, 0, off, imm)
	}
}

// relation is a jump that tells something of a number, whose target is still to be
// set.
func (g *gen) relation(dst uint8) int {
	op := []uint8{isa.ClassJMP, isa.ClassJMP32}[g.IntN(2)] | jumpOps[g.IntN(len(jumpOps))]
	if g.IntN(3) == 0 {
		return g.emit(op|isa.SrcX, dst, g.numberReg(), 0, 0)
	}
	return g.emit(op, dst, 0, 0, g.any())
}

// leave ends the program on one side of a comparison.
func (g *gen) leave() { g.exits = append(g.exits, g.relation(g.numberReg())) }

// skip calculates on one side of a comparison.
func (g *gen) skip() {
	at := g.relation(g.numberReg())
	for range 1 + g.IntN(2) {
		g.calculate()
	}
	g.insns[at].Off = int16(len(g.insns) - at - 1)
}

// extend extends a number's sign or clears its upper bits, in one of the ways that
// compilers have.
func (g *gen) extend() {
	dst, src := g.numberReg(), g.numberReg()
	switch g.IntN(4) {
	case 0:
		n := []int32{24, 32, 32, 48, 56}[g.IntN(5)]
		g.emit(isa.ClassALU64|isa.AluLSH, dst, 0, 0, n)
		g.emit(isa.ClassALU64|[]uint8{isa.AluRSH, isa.AluARSH}[g.IntN(2)], dst, 0, 0, n)
	case 1:
		g.emit(isa.ClassALU|isa.AluMOV|isa.SrcX, dst, src, []int16{0, 8, 16}[g.IntN(3)], 0)
	default:
		g.emit(isa.ClassALU64|isa.AluMOV|isa.SrcX, dst, src, []int16{8, 16, 32}[g.IntN(3)], 0)
	}
}

// linked copies a number, moves one by a constant, and compares one.
func (g *gen) linked() {
	a, b := g.numberReg(), g.numberReg()
	g.emit([]uint8{isa.ClassALU64, isa.ClassALU64, isa.ClassALU}[g.IntN(3)]|isa.AluMOV|isa.SrcX, a, b, 0, 0)
	if g.IntN(2) == 0 {
		class, _ := g.class()
		g.emit(class|[]uint8{isa.AluADD, isa.AluSUB}[g.IntN(2)], a, 0, 0, g.small())
	}
	g.exits = append(g.exits, g.relation([]uint8{a, b}[g.IntN(2)]))
}

// spillNumber stores a number and loads it again, perhaps with another width.
func (g *gen) spillNumber() {
	if g.IntN(2) == 0 {
		g.emit(isa.ClassST|isa.ModeMEM|isa.SizeDW, 10, 0, -8, g.small())
	} else {
		g.emit(isa.ClassSTX|isa.ModeMEM|isa.SizeDW, 10, g.numberReg(), -8, 0)
	}
	g.emit(isa.ClassSTX|isa.ModeMEM|sizes[g.IntN(4)].bits, 10, g.numberReg(), -8, 0)
	if g.IntN(2) == 0 {
		g.leave()
	}
	g.emit(isa.ClassLDX|isa.ModeMEM|sizes[g.IntN(4)].bits, g.numberReg(), 10, -8, 0)
}

// mask keeps a few bits.
func (g *gen) mask() {
	class, _ := g.class()
	g.emit(class|isa.AluAND, g.numberReg(), 0, 0, 1<<g.IntN(8)-1-g.Int32N(2))
}

// repeat calculates a few times over.
func (g *gen) repeat() {
	g.emit(isa.ClassST|isa.ModeMEM|isa.SizeDW, 10, 0, -16, 1+g.Int32N(3))
	head := len(g.insns)
	g.calculate()
	g.emit(isa.ClassLDX|isa.ModeMEM|isa.SizeDW, numberPtr, 10, -16, 0)
	g.emit(isa.ClassALU64|isa.AluADD, numberPtr, 0, 0, -1)
	g.emit(isa.ClassSTX|isa.ModeMEM|isa.SizeDW, 10, numberPtr, -16, 0)
	g.emit(isa.ClassJMP|isa.JmpJNE, numberPtr, 0, int16(head-len(g.insns)-1), 0)
}

// offset loads from the map's value at an offset that was narrowed, more or less.
func (g *gen) offset() {
	r, size, limit := g.numberReg(), sizes[g.IntN(len(sizes))], g.Int32N(64)
	leave := func(op uint8, imm int32) {
		class := []uint8{isa.ClassJMP, isa.ClassJMP, isa.ClassJMP32}[g.IntN(3)]
		g.exits = append(g.exits, g.emit(class|op, r, 0, 0, imm))
	}
	switch g.IntN(4) {
	case 0:
		leave(isa.JmpJGT, limit)
	case 1:
		leave(isa.JmpJSLT, 0)
		leave(isa.JmpJSGT, limit)
	case 2:
		class, _ := g.class()
		limit = 1<<g.IntN(7) - 1
		g.emit(class|isa.AluAND, r, 0, 0, limit)
	}
	g.emit(isa.ClassALU64|isa.AluMOV|isa.SrcX, numberPtr, numberBase, 0, 0)
	g.emit(isa.ClassALU64|isa.SrcX|[]uint8{isa.AluADD, isa.AluADD, isa.AluADD, isa.AluSUB}[g.IntN(4)], numberPtr, r, 0, 0)
	g.emit(isa.ClassLDX|isa.ModeMEM|size.bits, g.numberReg(), numberPtr, int16(64-size.bytes-int(limit)+g.IntN(3)-1), 0)
}
