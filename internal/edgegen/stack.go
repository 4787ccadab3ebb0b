package edgegen

import (
	"math/rand/v2"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/isa"
)

// Stack makes a program about what the stack holds: numbers and pointers are stored
// there whole and in part, at known and at varying offsets, and loaded again; calls
// read and overwrite it. What comes back becomes an offset that just fits, or just
// does not.
func Stack(r *rand.Rand) *Program {
	g := &gen{Rand: r, maps: []*ebpf.MapSpec{
		{Name: "array", Type: ebpf.Array, KeySize: 4, ValueSize: 64, MaxEntries: 1},
		{Name: "hash", Type: ebpf.Hash, KeySize: 8, ValueSize: 16, MaxEntries: 4},
	}}
	g.emit(isa.ClassSTX|isa.ModeMEM|isa.SizeDW, 10, 1, ctxSlot, 0)
	g.emit(isa.OpLDDW, numberBase, isa.PseudoMapValue, 0, 0)
	g.emit(0, 0, 0, 0, 0)
	for _, dst := range numberRegs {
		g.unknownWidth(dst)
	}
	for range 3 + r.IntN(14) {
		stackStatements[r.IntN(len(stackStatements))](g)
	}
	for range 1 + r.IntN(2) {
		g.offset()
	}
	g.finish()
	return &Program{g.insns, g.maps}
}

// ctxSlot keeps the context; the slots above it are stored to and loaded.
const (
	ctxSlot = -48
	slots   = 5
)

var stackStatements []func(*gen)

func init() {
	stackStatements = []func(*gen){
		(*gen).storeSlot, (*gen).storeSlot, (*gen).storeSlot, (*gen).storeSlotImm, (*gen).storeSlotImm, (*gen).storePointer,
		(*gen).loadSlot, (*gen).loadSlot, (*gen).loadSlot, (*gen).loadPointer, (*gen).calculate, (*gen).storeAnywhere, (*gen).loadAnywhere,
		(*gen).readStack, (*gen).writeStack, (*gen).changeSlot, (*gen).mask, (*gen).leave, (*gen).linked,
	}
}

// place is an offset in the stack that an access of a size may have; sometimes none.
func (g *gen) place(bytes int) int16 {
	off := -8 * slots
	switch g.IntN(100) {
	case 0:
		return int16(off + g.IntN(8*slots)) // misaligned
	case 1:
		return int16(-bytes + g.IntN(3)) // up to the frame pointer, or beyond
	}
	return int16(off + bytes*g.IntN(8*slots/bytes))
}

func (g *gen) storeSlot() {
	size := sizes[g.IntN(len(sizes))]
	g.emit(isa.ClassSTX|isa.ModeMEM|size.bits, 10, g.numberReg(), g.place(size.bytes), 0)
}

func (g *gen) storeSlotImm() {
	size := sizes[g.IntN(len(sizes))]
	g.emit(isa.ClassST|isa.ModeMEM|size.bits, 10, 0, g.place(size.bytes), []int32{0, 0, 1, -1, g.small()}[g.IntN(5)])
}

// storePointer stores the address of a value.
func (g *gen) storePointer() {
	g.emit(isa.ClassSTX|isa.ModeMEM|isa.SizeDW, 10, []uint8{numberBase, 10}[g.IntN(2)], g.place(8), 0)
}

func (g *gen) loadSlot() {
	size, mode := sizes[g.IntN(len(sizes))], uint8(isa.ModeMEM)
	if size.bytes < 8 && g.IntN(3) == 0 {
		mode = isa.ModeMEMSX
	}
	g.emit(isa.ClassLDX|mode|size.bits, g.numberReg(), 10, g.place(size.bytes), 0)
}

// loadPointer loads what may be an address, and uses it as one.
func (g *gen) loadPointer() {
	g.emit(isa.ClassLDX|isa.ModeMEM|isa.SizeDW, numberPtr, 10, g.place(8), 0)
	if g.IntN(8) == 0 {
		size := sizes[g.IntN(len(sizes))]
		g.emit(isa.ClassLDX|isa.ModeMEM|size.bits, g.numberReg(), numberPtr, int16(g.IntN(10)-1), 0)
	}
}

// anywhere makes a pointer into the stack for an access of a size, whose offset varies.
func (g *gen) anywhere(bytes int) {
	n := g.numberReg()
	g.emit(isa.ClassALU64|isa.AluAND, n, 0, 0, int32(bytes)*[]int32{1, 1, 2, 3}[g.IntN(4)])
	g.emit(isa.ClassALU64|isa.AluMOV|isa.SrcX, numberPtr, 10, 0, 0)
	g.emit(isa.ClassALU64|isa.AluADD, numberPtr, 0, 0, -int32(8*(slots-g.IntN(3))))
	op := uint8(isa.AluADD)
	if g.IntN(50) == 0 {
		op = isa.AluSUB
	}
	g.emit(isa.ClassALU64|isa.SrcX|op, numberPtr, n, 0, 0)
}

func (g *gen) storeAnywhere() {
	size := sizes[g.IntN(len(sizes))]
	g.anywhere(size.bytes)
	off := int16(g.IntN(3) * size.bytes)
	if g.IntN(2) == 0 {
		g.emit(isa.ClassST|isa.ModeMEM|size.bits, numberPtr, 0, off, []int32{0, 1}[g.IntN(2)])
		return
	}
	g.emit(isa.ClassSTX|isa.ModeMEM|size.bits, numberPtr, g.numberReg(), off, 0)
}

func (g *gen) loadAnywhere() {
	size := sizes[g.IntN(len(sizes))]
	g.anywhere(size.bytes)
	g.emit(isa.ClassLDX|isa.ModeMEM|size.bits, g.numberReg(), numberPtr, int16(g.IntN(3)*size.bytes), 0)
}

// changeSlot changes the stack by an atomic instruction.
func (g *gen) changeSlot() {
	size := sizes[2+g.IntN(2)]
	op := atomicOps[g.IntN(len(atomicOps))]
	g.emit(isa.ClassSTX|isa.ModeATOMIC|size.bits, 10, g.numberReg(), g.place(size.bytes), op)
}

// stackArgument makes a register point to the stack, at an offset that may vary.
func (g *gen) stackArgument(r uint8) {
	g.emit(isa.ClassALU64|isa.AluMOV|isa.SrcX, r, 10, 0, 0)
	g.emit(isa.ClassALU64|isa.AluADD, r, 0, 0, -int32(8*(slots-g.IntN(4)))+int32(g.IntN(2)*g.IntN(4)))
	if g.IntN(6) == 0 {
		n := g.numberReg()
		g.emit(isa.ClassALU64|isa.AluAND, n, 0, 0, []int32{1, 7, 8, 24}[g.IntN(4)])
		g.emit(isa.ClassALU64|isa.AluADD|isa.SrcX, r, n, 0, 0)
	}
}

// size gives a register a size, constant or bounded.
func (g *gen) size(r uint8, step int32) {
	n := step * g.Int32N(24/step+2)
	if g.IntN(2) == 0 {
		g.emit(isa.ClassALU64|isa.AluMOV, r, 0, 0, n)
		return
	}
	g.emit(isa.ClassALU64|isa.AluMOV|isa.SrcX, r, g.numberReg(), 0, 0)
	g.emit(isa.ClassALU64|isa.AluAND, r, 0, 0, []int32{4, 8, 12, 12, 24, 28}[g.IntN(6)])
	if g.IntN(2) == 0 {
		g.exits = append(g.exits, g.emit(isa.ClassJMP|isa.JmpJGT, r, 0, 0, n))
	}
	if g.IntN(2) == 0 {
		g.exits = append(g.exits, g.emit(isa.ClassJMP|isa.JmpJEQ, r, 0, 0, 0))
	}
}

// readStack calls what reads the stack: bpf_csum_diff, or a lookup of a key.
func (g *gen) readStack() {
	if g.IntN(2) == 0 {
		g.stackArgument(1)
		g.size(2, 4)
		g.emit(isa.ClassALU64|isa.AluMOV, 3, 0, 0, 0)
		g.emit(isa.ClassALU64|isa.AluMOV, 4, 0, 0, 0)
		g.emit(isa.ClassALU64|isa.AluMOV, 5, 0, 0, 0)
		g.callKnown(28)
		return
	}
	g.stackArgument(2)
	g.emit(isa.OpLDDW, 1, isa.PseudoMapFD, 0, 1)
	g.emit(0, 0, 0, 0, 0)
	g.callKnown([]int32{1, 3}[g.IntN(2)]) // lookup or deletion
}

// writeStack calls what writes to the stack: bpf_skb_load_bytes.
func (g *gen) writeStack() {
	g.emit(isa.ClassLDX|isa.ModeMEM|isa.SizeDW, 1, 10, ctxSlot, 0)
	g.emit(isa.ClassALU64|isa.AluMOV, 2, 0, 0, 0)
	g.stackArgument(3)
	g.size(4, 1)
	g.callKnown(26)
}

// callKnown calls a helper, and makes readable again what it leaves unreadable.
func (g *gen) callKnown(id int32) {
	g.emit(isa.ClassJMP|isa.JmpCALL, 0, 0, 0, id)
	g.emit(isa.ClassALU64|isa.AluMOV, 0, 0, 0, g.small())
	g.unknownWidth(1)
}
