package edgegen

import (
	"math/rand/v2"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/isa"
)

// Pointers makes a program about pointers: calculated with, compared with each other,
// with NULL and with the packet's ends, in all the ways that are allowed and some that
// are not.
func Pointers(r *rand.Rand) *Program {
	g := &gen{Rand: r, maps: []*ebpf.MapSpec{
		{Name: "array", Type: ebpf.Array, KeySize: 4, ValueSize: []uint32{4, 24, 64}[r.IntN(3)], MaxEntries: 4},
		{Name: "hash", Type: ebpf.Hash, KeySize: 8, ValueSize: 24, MaxEntries: 4},
	}}
	g.emit(isa.ClassALU64|isa.AluMOV|isa.SrcX, 6, 1, 0, 0) // r6 = the context
	g.regs[6] = context
	for range 2 + r.IntN(3) {
		g.pointerSource()
	}
	for range 3 + r.IntN(10) {
		pointerStatements[r.IntN(len(pointerStatements))](g)
	}
	g.finish()
	return &Program{g.insns, g.maps}
}

var pointerStatements []func(*gen)

func init() {
	pointerStatements = []func(*gen){
		(*gen).pointerSource, (*gen).pointerSource, (*gen).move, (*gen).move, (*gen).shift, (*gen).shift, (*gen).shift,
		(*gen).shift, (*gen).packetSides, (*gen).packetSides, (*gen).packetSides, (*gen).nullSides, (*gen).pair,
		(*gen).bound, (*gen).memory, (*gen).memory, (*gen).memory, (*gen).wild,
	}
}

// The fields of the context where the packet and its metadata begin and end.
var packetFields = []struct {
	off  int16
	kind kind
}{{76, packet}, {76, packet}, {80, packetEnd}, {140, packetMeta}}

// pointerSource makes a register a pointer or number.
func (g *gen) pointerSource() {
	switch g.IntN(6) {
	case 0:
		g.lookup()
	case 1:
		g.unknownNumber()
	case 2:
		g.stackPointer()
	case 3:
		dst := g.free()
		g.emit(isa.OpLDDW, dst, isa.PseudoMapFD, 0, int32(g.IntN(2)))
		g.emit(0, 0, 0, 0, 0)
		g.regs[dst] = empty
	default:
		f := packetFields[g.IntN(len(packetFields))]
		dst := g.free()
		g.emit(isa.ClassLDX|isa.ModeMEM|isa.SizeW, dst, 6, f.off, 0)
		g.regs[dst] = f.kind
	}
}

// anything is a register that holds something.
func (g *gen) anything() uint8 {
	if r, ok := g.pick(number, context, value, valueOrNull, packet, packetEnd, packetMeta, stack); ok {
		return r
	}
	return 6
}

func (g *gen) move() {
	src, dst := g.anything(), g.free()
	g.emit(isa.ClassALU64|isa.AluMOV|isa.SrcX, dst, src, 0, 0)
	g.regs[dst] = g.regs[src]
}

// shift moves a pointer by a constant or a number, or a number by a pointer.
func (g *gen) shift() {
	p, ok := g.pick(packet, packet, packetMeta, value, value, stack)
	if !ok {
		return
	}
	op := []uint8{isa.AluADD, isa.AluADD, isa.AluADD, isa.AluSUB}[g.IntN(4)]
	n, ok := g.pick(number)
	switch {
	case !ok || g.IntN(2) == 0:
		g.emit(isa.ClassALU64|op, p, 0, 0, g.small())
		return
	case g.IntN(3) > 0: // in bounds, more or less
		g.emit(isa.ClassALU64|isa.AluAND, n, 0, 0, []int32{3, 7, 15, 31, 63, 0xfff, 0xffff}[g.IntN(7)])
	}
	if g.IntN(4) == 0 {
		g.emit(isa.ClassALU64|isa.AluADD|isa.SrcX, n, p, 0, 0)
		g.regs[n] = g.regs[p]
		return
	}
	g.emit(isa.ClassALU64|op|isa.SrcX, p, n, 0, 0)
}

// packetSides compares pointers of the packet, and follows both sides.
func (g *gen) packetSides() {
	a, ok1 := g.pick(packet, packetMeta)
	b, ok2 := g.pick(packetEnd, packetEnd, packet)
	if !ok1 || !ok2 {
		return
	}
	if g.IntN(2) == 0 {
		a, b = b, a
	}
	op := []uint8{isa.JmpJGT, isa.JmpJGE, isa.JmpJLT, isa.JmpJLE, isa.JmpJGT, isa.JmpJGE, isa.JmpJLT, isa.JmpJLE, isa.JmpJEQ, isa.JmpJSGT}[g.IntN(10)]
	g.sides(g.emit(isa.ClassJMP|op|isa.SrcX, a, b, 0, 0))
}

// nullSides compares a pointer with NULL, or with a number that may be it.
func (g *gen) nullSides() {
	p, ok := g.pick(valueOrNull, valueOrNull, value, packet, stack)
	if !ok {
		return
	}
	op := []uint8{isa.ClassJMP, isa.ClassJMP, isa.ClassJMP, isa.ClassJMP32}[g.IntN(4)] | []uint8{isa.JmpJEQ, isa.JmpJNE, isa.JmpJNE, isa.JmpJGT}[g.IntN(4)]
	if g.IntN(3) == 0 {
		zero := g.free()
		if zero == p {
			return
		}
		g.emit(isa.ClassALU64|isa.AluMOV, zero, 0, 0, int32(g.IntN(8)/7))
		g.regs[zero] = number
		g.sides(g.emit(op|isa.SrcX, p, zero, 0, 0))
		return
	}
	g.sides(g.emit(op, p, 0, 0, 0))
}

// pair compares any two registers.
func (g *gen) pair() {
	op := []uint8{isa.ClassJMP, isa.ClassJMP, isa.ClassJMP32}[g.IntN(3)] | jumpOps[g.IntN(len(jumpOps))]
	if g.IntN(2) == 0 {
		op = isa.ClassJMP | []uint8{isa.JmpJEQ, isa.JmpJNE}[g.IntN(2)]
	}
	g.sides(g.emit(op|isa.SrcX, g.anything(), g.anything(), 0, 0))
}

// sides leaves the program on one side of a jump, or accesses memory there.
func (g *gen) sides(at int) {
	if g.IntN(3) > 0 {
		g.exits = append(g.exits, at)
	} else {
		g.memory()
		g.insns[at].Off = int16(len(g.insns) - at - 1)
	}
	if g.IntN(2) == 0 {
		g.memory()
	}
}

// wild calculates with any registers in any way.
func (g *gen) wild() {
	if g.IntN(2) == 0 {
		return
	}
	class := []uint8{isa.ClassALU64, isa.ClassALU64, isa.ClassALU}[g.IntN(3)]
	op := []uint8{isa.AluADD, isa.AluSUB, isa.AluSUB, isa.AluAND, isa.AluMUL, isa.AluMOV, isa.AluNEG}[g.IntN(7)]
	dst := g.anything()
	if dst == 6 {
		return
	}
	if op == isa.AluNEG {
		g.emit(class|op, dst, 0, 0, 0)
		return
	}
	g.emit(class|op|isa.SrcX, dst, g.anything(), 0, 0)
}
