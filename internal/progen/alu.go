package progen

import "github.com/skep-ebpf/skep/isa"

// aluOps are the operations with two operands.
var aluOps = []struct {
	op  uint8
	off int16 // 1: signed
	imm func(g *gen, bits int) int32
}{
	{op: isa.AluADD, imm: immAny},
	{op: isa.AluSUB, imm: immAny},
	{op: isa.AluMUL, imm: immAny},
	{op: isa.AluDIV, imm: immNotZero},
	{op: isa.AluDIV, off: 1, imm: immNotZero},
	{op: isa.AluMOD, imm: immNotZero},
	{op: isa.AluMOD, off: 1, imm: immNotZero},
	{op: isa.AluOR, imm: immAny},
	{op: isa.AluAND, imm: immAny},
	{op: isa.AluXOR, imm: immAny},
	{op: isa.AluMOV, imm: immAny},
	{op: isa.AluLSH, imm: immShift},
	{op: isa.AluRSH, imm: immShift},
	{op: isa.AluARSH, imm: immShift},
}

func immAny(g *gen, _ int) int32 { return g.imm() }

func immNotZero(g *gen, _ int) int32 {
	if i := g.imm(); i != 0 {
		return i
	}
	return -1
}

func immShift(g *gen, bits int) int32 {
	return pick(g, []int32{0, 1, int32(bits) - 1, int32(bits) / 2, int32(g.rand.IntN(bits))})
}

// aluClass gives the 32- or the 64-bit class and its width.
func (g *gen) aluClass() (class uint8, bits int) {
	if g.one(2) {
		return isa.ClassALU, 32
	}
	return isa.ClassALU64, 64
}

func (g *gen) alu() {
	class, bits := g.aluClass()
	o := pick(g, aluOps)
	i := isa.Instruction{Op: class | o.op, Dst: g.reg(), Off: o.off}
	if g.one(2) {
		i.Op |= isa.SrcX
		i.Src = g.reg()
	} else {
		i.Imm = o.imm(g, bits)
	}
	g.add(i)
}

func (g *gen) neg() {
	class, _ := g.aluClass()
	g.add(isa.Instruction{Op: class | isa.AluNEG, Dst: g.reg()})
}

// end swaps bytes: to little endian, to big endian, or always.
func (g *gen) end() {
	op := pick(g, []uint8{isa.ClassALU | isa.SrcK, isa.ClassALU | isa.SrcX, isa.ClassALU64})
	g.add(isa.Instruction{Op: op | isa.AluEND, Dst: g.reg(), Imm: pick(g, []int32{16, 32, 64})})
}

func (g *gen) movsx() {
	class, bits := g.aluClass()
	off := pick(g, []int16{8, 16, 32}[:bits/32+1])
	g.add(isa.Instruction{Op: class | isa.SrcX | isa.AluMOV, Dst: g.reg(), Src: g.reg(), Off: off})
}

func (g *gen) lddw() {
	v := g.word()
	g.wide(g.reg(), isa.PseudoNone, int32(v), int32(v>>32))
}
