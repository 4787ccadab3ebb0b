package progen

import (
	"math/bits"

	"github.com/skep-ebpf/skep/isa"
)

// regs is a set of registers.
type regs uint16

// callerSaved are the registers that a call leaves unreadable.
const callerSaved regs = 0b111110

// reg gives a register that holds a number.
func (g *gen) reg() uint8 { return g.regOf(0x3ff) }

// regOf gives one of a set that holds a number.
func (g *gen) regOf(set regs) uint8 {
	set &^= g.held
	for n := g.rand.IntN(bits.OnesCount16(uint16(set))); n > 0; n-- {
		set &= set - 1
	}
	return uint8(bits.TrailingZeros16(uint16(set)))
}

// hold takes a register to keep a pointer in.
func (g *gen) hold() uint8 {
	r := g.reg()
	g.held |= 1 << r
	return r
}

// release fills registers with numbers again.
func (g *gen) release(set regs) {
	g.held |= set
	for r := range uint8(10) {
		if set&(1<<r) == 0 {
			continue
		}
		switch n := g.rand.IntN(4); {
		case n < 3 && g.held != 0x3ff:
			g.movReg(r, g.reg())
		default:
			g.movImm(r, g.imm())
		}
		g.held &^= 1 << r
	}
}

func (g *gen) add(i isa.Instruction) { g.f.insns = append(g.f.insns, i) }

// here is the index of the next instruction.
func (g *gen) here() int { return len(g.f.insns) }

// land makes the jump at index i lead here.
func (g *gen) land(i int) { g.jumpTo(i, g.here()) }

// jumpTo makes the jump at index i lead to target.
func (g *gen) jumpTo(i, target int) {
	ins := &g.f.insns[i]
	if ins.Op == isa.ClassJMP32|isa.JmpJA {
		ins.Imm = int32(target - i - 1)
	} else {
		ins.Off = int16(target - i - 1)
	}
}

// jump adds a jump that is yet to land, and gives its index.
func (g *gen) jump(i isa.Instruction) int {
	g.add(i)
	return g.here() - 1
}

func (g *gen) load(size, dst, src uint8, off int16) {
	g.add(isa.Instruction{Op: isa.ClassLDX | isa.ModeMEM | size, Dst: dst, Src: src, Off: off})
}

func (g *gen) store(size, dst uint8, off int16, src uint8) {
	g.add(isa.Instruction{Op: isa.ClassSTX | isa.ModeMEM | size, Dst: dst, Src: src, Off: off})
}

func (g *gen) storeImm(size, dst uint8, off int16, imm int32) {
	g.add(isa.Instruction{Op: isa.ClassST | isa.ModeMEM | size, Dst: dst, Off: off, Imm: imm})
}

func (g *gen) aluReg(op, dst, src uint8) {
	g.add(isa.Instruction{Op: isa.ClassALU64 | isa.SrcX | op, Dst: dst, Src: src})
}

func (g *gen) aluImm(op, dst uint8, imm int32) {
	g.add(isa.Instruction{Op: isa.ClassALU64 | isa.SrcK | op, Dst: dst, Imm: imm})
}

func (g *gen) movReg(dst, src uint8) { g.aluReg(isa.AluMOV, dst, src) }

func (g *gen) movImm(dst uint8, imm int32) { g.aluImm(isa.AluMOV, dst, imm) }

// wide adds a 64-bit immediate load.
func (g *gen) wide(dst, src uint8, lo, hi int32) {
	g.add(isa.Instruction{Op: isa.OpLDDW, Dst: dst, Src: src, Imm: lo})
	g.add(isa.Instruction{Imm: hi})
}

// loadMap loads a map or, with isa.PseudoMapValue, the address of off in its
// only value.
func (g *gen) loadMap(dst, pseudo uint8, m int, off int32) { g.wide(dst, pseudo, int32(m), off) }

func (g *gen) callHelper(id int32) {
	g.add(isa.Instruction{Op: isa.ClassJMP | isa.JmpCALL, Src: isa.CallHelper, Imm: id})
}

// callFunc calls a function of the program.
func (g *gen) callFunc(f *function) {
	g.f.calls = append(g.f.calls, callSite{g.here(), f})
	g.add(isa.Instruction{Op: isa.ClassJMP | isa.JmpCALL, Src: isa.CallLocal})
}

// loadFunc loads the address of a function for a helper.
func (g *gen) loadFunc(dst uint8, f *function) {
	g.f.calls = append(g.f.calls, callSite{g.here(), f})
	g.wide(dst, isa.PseudoFunc, 0, 0)
}
