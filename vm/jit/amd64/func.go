package amd64

import (
	"fmt"
	"math/bits"

	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// begin begins a function, or the stubs, with as many blocks.
func (e *Emitter) begin(blocks int) {
	e.n, e.off = 0, 0
	e.room(roomy)
	e.points, e.starts, e.colds = e.points[:0], e.starts[:0], e.colds[:0]
	e.labels = e.labels[:0]
	for range blocks {
		e.label()
	}
}

// function makes the code of one function.
func (e *Emitter) function(n int) error {
	f := e.prog.Funcs[n]
	e.begin(len(f.Blocks))
	e.fn, e.f, e.deep = n, f, 0
	e.regs = noRegs
	copy(e.regs[:], f.Regs[:])
	e.layout()
	if e.frame != 0 {
		e.addImm(8, rsp, -e.frame)
	}
	e.findLoops()
	for at := range f.Blocks {
		if e.next = int32(at) + 1; at+1 == len(f.Blocks) {
			e.next = -1
		}
		if e.aligned[at] {
			e.point(pointAlign, 0, 0)
		}
		e.place(int32(at))
		e.block(&f.Blocks[at])
	}
	e.next = -1
	for i := 0; i < len(e.colds); i++ {
		e.room(roomy)
		e.start(e.colds[i].ins.At)
		e.cold(e.colds[i])
	}
	if e.lacks != nil {
		e.fail(e.lacks, "variable %d has no register", e.lacked)
	}
	if e.err != nil {
		return fmt.Errorf("compile function %s: %w", f.Name, e.err)
	}
	e.Entries = append(e.Entries, e.finish())
	e.Stacks = append(e.Stacks, 8+uint32(e.frame)+e.deep)
	return nil
}

// noRegs has no registers.
var noRegs = func() (all [256]ir.Reg) {
	for v := range all {
		all[v] = ir.NoReg
	}
	return all
}()

// shortLoop is how many blocks a loop has at most for its beginning to be aligned.
const shortLoop = 16

// findLoops finds the innermost loops, as far as they are so short that it matters how
// many pieces the processor fetches them in.
func (e *Emitter) findLoops() {
	blocks := e.f.Blocks
	e.aligned = append(e.aligned[:0], make([]bool, len(blocks))...)
	for at := range blocks {
		for _, to := range blocks[at].Succ {
			if to < 0 || int(to) > at || at-int(to) >= shortLoop {
				continue
			}
			deepest := blocks[to].Depth
			for k := range blocks[to : at+1] {
				deepest = max(deepest, blocks[int(to)+k].Depth)
			}
			e.aligned[to] = deepest == blocks[to].Depth
		}
	}
}

// layout finds out how large the frame is, and where in it registers are saved.
func (e *Emitter) layout() {
	e.frame = 0
	for s := e.funcs[e.fn].Saved; s != 0; s &= s - 1 {
		e.slots[bits.TrailingZeros32(uint32(s))] = e.frame
		e.frame += 8
	}
	e.frame += int32(e.f.Frame)
}

// block makes the code of a block.
func (e *Emitter) block(b *ir.Block) {
	ins := b.Ins
	last := len(ins) - 1
	fuel := last >= 1 && ins[last-1].Op == ir.Fuel
	switch {
	case fuel && ins[last].Op == ir.Jump && b.Succ[0] != e.next:
		for k := range ins[:last-1] {
			e.step(b, &ins[k])
		}
		e.begins(&ins[last-1])
		e.fuelJump(&ins[last-1], b.Succ[0])
	case fuel && last >= 2 && decides(&ins[last-2], &ins[last]):
		for k := range ins[:last-2] {
			e.step(b, &ins[k])
		}
		e.step(b, &ins[last-1])
		e.step(b, &ins[last-2])
		e.step(b, &ins[last])
	default:
		for k := range ins {
			e.step(b, &ins[k])
		}
	}
}

// step makes the code of one instruction.
func (e *Emitter) step(b *ir.Block, i *ir.Ins) {
	e.begins(i)
	e.ins(b, i)
}

// begins begins the code of an instruction.
func (e *Emitter) begins(i *ir.Ins) {
	e.room(roomy)
	if e.pad.state != 0 {
		e.pad.between(&e.asm)
	}
	e.start(i.At)
}
