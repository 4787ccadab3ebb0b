// Package edgegen makes random programs at the edge of what Linux's verifier
// accepts: bounds that are right, or off by one; widths that are mixed; numbers and
// pointers that went through the stack; loops that end or nearly do. About half of
// them are refused, each for a reason of its own.
package edgegen

import (
	"math/rand/v2"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/isa"
)

// Program is one program of type SchedCLS and the maps that its map loads name by
// index.
type Program struct {
	Insns []isa.Instruction
	Maps  []*ebpf.MapSpec
}

// kind is what a register most likely holds.
type kind uint8

const (
	empty kind = iota
	number
	context
	value       // a pointer to a map's value
	valueOrNull // the same, not compared with NULL yet
	packet
	packetEnd
	packetMeta
	stack
)

// gen builds one program.
type gen struct {
	*rand.Rand
	insns []isa.Instruction
	maps  []*ebpf.MapSpec
	regs  [10]kind
	exits []int // jumps to the common exit
	depth int   // of loops
	funcs []int // calls of the function behind the program
}

const maxInsns = 120

// New makes a program from a source of randomness.
func New(r *rand.Rand) *Program {
	g := &gen{Rand: r}
	size := []uint32{1, 4, 8, 16, 24, 48, 64, 256, 4096}[r.IntN(9)]
	g.maps = []*ebpf.MapSpec{
		{Name: "array", Type: ebpf.Array, KeySize: 4, ValueSize: size, MaxEntries: []uint32{1, 2, 16}[r.IntN(3)]},
		{Name: "hash", Type: ebpf.Hash, KeySize: 8, ValueSize: 32, MaxEntries: 4},
	}
	g.regs[1] = context
	g.emit(isa.ClassALU64|isa.AluMOV|isa.SrcX, 6, 1, 0, 0) // r6 = the context
	g.regs[6] = context
	for n := 3 + r.IntN(14); n > 0 && len(g.insns) < maxInsns; n-- {
		g.statement()
	}
	g.finish()
	return &Program{g.insns, g.maps}
}

func (g *gen) emit(op, dst, src uint8, off int16, imm int32) int {
	g.insns = append(g.insns, isa.Instruction{Op: op, Dst: dst, Src: src, Off: off, Imm: imm})
	return len(g.insns) - 1
}

// finish ends the program: what was left open jumps to its exit.
func (g *gen) finish() {
	g.emit(isa.ClassALU64|isa.AluMOV, 0, 0, 0, 0)
	exit := len(g.insns) - 1
	g.emit(isa.ClassJMP|isa.JmpEXIT, 0, 0, 0, 0)
	for _, at := range g.exits {
		g.insns[at].Off = int16(exit - at - 1)
	}
	if len(g.funcs) == 0 {
		return
	}
	start := len(g.insns)
	for _, at := range g.funcs {
		g.insns[at].Imm = int32(start - at - 1)
	}
	g.function()
}

// function is a function of two arguments, numbers or pointers, that gives a number.
func (g *gen) function() {
	g.regs = [10]kind{}
	g.regs[1], g.regs[2] = number, number
	g.emit(isa.ClassALU64|isa.AluMOV, 0, 0, 0, int32(g.IntN(64)))
	g.regs[0] = number
	for range 1 + g.IntN(4) {
		switch g.IntN(3) {
		case 0:
			g.arithmetic()
		case 1:
			g.copy()
		case 2:
			at := g.compare(g.pickKind(number))
			g.arithmetic()
			g.insns[at].Off = int16(len(g.insns) - at - 1)
		}
	}
	g.emit(isa.ClassJMP|isa.JmpEXIT, 0, 0, 0, 0)
}

// statements with how often each is made.
var statements []choice

type choice struct {
	weight int
	make   func(*gen)
}

func init() {
	statements = []choice{
		{10, (*gen).unknownNumber}, {14, (*gen).arithmetic}, {9, (*gen).bound}, {5, (*gen).copy},
		{8, (*gen).lookup}, {5, (*gen).nullCheck}, {10, (*gen).addToPointer}, {14, (*gen).memory},
		{5, (*gen).packetPointers}, {6, (*gen).packetCheck}, {8, (*gen).spillAndFill}, {3, (*gen).stackPointer},
		{4, (*gen).loop}, {3, (*gen).call}, {4, (*gen).helper}, {2, (*gen).atomic}, {3, (*gen).branch},
	}
}

func (g *gen) statement() {
	total := 0
	for _, s := range statements {
		total += s.weight
	}
	n := g.IntN(total)
	for _, s := range statements {
		if n -= s.weight; n < 0 {
			s.make(g)
			return
		}
	}
}

// pick is a register that holds one of the kinds, most of the time; false where
// there is none.
func (g *gen) pick(want ...kind) (uint8, bool) {
	var found []uint8
	for r, k := range g.regs {
		for _, w := range want {
			if k == w {
				found = append(found, uint8(r))
			}
		}
	}
	if len(found) == 0 {
		return 0, false
	}
	return found[g.IntN(len(found))], true
}

// pickKind is a register of a kind; where there is none, one is made to hold a
// number.
func (g *gen) pickKind(k kind) uint8 {
	if r, ok := g.pick(k); ok {
		return r
	}
	r := g.free()
	g.emit(isa.ClassALU64|isa.AluMOV, r, 0, 0, g.small())
	g.regs[r] = number
	return r
}

// free is a register to overwrite: rather one that holds nothing, never R6.
func (g *gen) free() uint8 {
	var found []uint8
	for r, k := range g.regs {
		if k == empty && r != 6 {
			found = append(found, uint8(r))
		}
	}
	if len(found) > 0 && g.IntN(4) > 0 {
		return found[g.IntN(len(found))]
	}
	return []uint8{0, 1, 2, 3, 4, 5, 7, 8, 9}[g.IntN(9)]
}

// small is a number near those that matter.
func (g *gen) small() int32 {
	near := []int32{0, 1, 2, 4, 7, 8, 15, 16, 31, 32, 63, 64, 255, 256, int32(g.maps[0].ValueSize), 32}
	n := near[g.IntN(len(near))]
	switch g.IntN(5) {
	case 0:
		return n - 1
	case 1:
		return n + 1
	case 2:
		return -n
	}
	return n
}

// any is a number of any size.
func (g *gen) any() int32 {
	switch g.IntN(4) {
	case 0:
		return int32(g.Uint32())
	case 1:
		return []int32{-1 << 31, 1<<31 - 1, -1, 0x7fff, 0xffff, -0x8000}[g.IntN(6)]
	}
	return g.small()
}
