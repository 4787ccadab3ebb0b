package progen

import "github.com/skep-ebpf/skep/isa"

var conditions = []uint8{
	isa.JmpJEQ, isa.JmpJNE, isa.JmpJSET,
	isa.JmpJGT, isa.JmpJGE, isa.JmpJLT, isa.JmpJLE,
	isa.JmpJSGT, isa.JmpJSGE, isa.JmpJSLT, isa.JmpJSLE,
}

// condition gives a conditional jump on numbers.
func (g *gen) condition() isa.Instruction {
	i := isa.Instruction{Op: pick(g, []uint8{isa.ClassJMP, isa.ClassJMP32}) | pick(g, conditions), Dst: g.reg()}
	if g.one(2) {
		i.Op |= isa.SrcX
		i.Src = g.reg()
	} else {
		i.Imm = g.imm()
	}
	return i
}

// always adds an unconditional jump in one of its two forms.
func (g *gen) always() int {
	return g.jump(isa.Instruction{Op: pick(g, []uint8{isa.ClassJMP, isa.ClassJMP32}) | isa.JmpJA})
}

// ifElse guards one block, or chooses between two.
func (g *gen) ifElse() {
	skip := g.jump(g.condition())
	g.block(1 + g.rand.IntN(3))
	if g.one(2) {
		g.land(skip)
		return
	}
	end := g.always()
	g.land(skip)
	g.block(1 + g.rand.IntN(3))
	g.land(end)
}

// counter is the loop counter of this depth.
func (g *gen) counter() int16 { return int16(slotCounter - 8*(g.depth-1)) }

// countDown decrements the counter and leaves it in a register.
func (g *gen) countDown(off int16) uint8 {
	r := g.reg()
	g.load(isa.SizeDW, r, isa.R10, off)
	g.aluImm(isa.AluADD, r, -1)
	g.store(isa.SizeDW, isa.R10, off, r)
	return r
}

// loop repeats a block a known number of times.
func (g *gen) loop() {
	off := g.counter()
	g.storeImm(isa.SizeDW, isa.R10, off, int32(1+g.rand.IntN(4)))
	head := g.here()
	g.block(1 + g.rand.IntN(2))
	back := g.jump(isa.Instruction{Op: isa.ClassJMP | isa.JmpJNE, Dst: g.countDown(off)})
	g.jumpTo(back, head)
}

// mayGoto repeats a block until a counter ends, within the bound that may_goto
// gives: it is never reached.
func (g *gen) mayGoto() {
	off := g.counter()
	g.storeImm(isa.SizeDW, isa.R10, off, int32(1+g.rand.IntN(3)))
	head := g.jump(isa.Instruction{Op: isa.ClassJMP | isa.JmpJCOND})
	g.block(1)
	end := g.jump(isa.Instruction{Op: isa.ClassJMP | isa.JmpJEQ, Dst: g.countDown(off)})
	g.jumpTo(g.always(), head)
	g.land(head)
	g.land(end)
}

// zigzag runs a block that stands elsewhere: forward, back and forward.
func (g *gen) zigzag() {
	over := g.always()
	body := g.here()
	g.block(1)
	out := g.always()
	g.land(over)
	g.jumpTo(g.always(), body)
	g.land(out)
}
