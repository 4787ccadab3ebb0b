package ir

// Sweep removes what has no effect: instructions whose results nobody reads, blocks
// that nothing leads to, and jumps to what could stand in their place. It finds out
// In and Out of each block on the way; what it removes then makes little difference to
// that.
func (f *Func) Sweep() {
	f.thread()
	f.straighten()
	if f.leadsOn() {
		for at := len(f.Blocks) - 1; at >= 0; at-- {
			b := &f.Blocks[at]
			b.Out = f.liveOut(b)
			b.In = b.sweep()
		}
		return
	}
	f.Liveness()
	for at := range f.Blocks {
		f.Blocks[at].sweep()
	}
}

// sweep removes the block's instructions without effect, and gives the variables that live
// before it. Instructions that had an effect only on such go too.
func (b *Block) sweep() Set {
	live, kept := b.Out, len(b.Ins)
	for k := len(b.Ins) - 1; k >= 0; k-- {
		i := &b.Ins[k]
		if i.Pure() && Of(i.Dst)&live == 0 || i.Op == Mov && i.Size == 8 && i.A == i.Dst {
			continue
		}
		live = live&^i.Kills() | i.Uses()
		if kept--; kept != k {
			b.Ins[kept] = *i
		}
	}
	b.Ins = b.Ins[kept:]
	return live
}

// thread lets edges that lead to nothing but a jump lead to where it goes.
func (f *Func) thread() {
	for at := range f.Blocks {
		b := &f.Blocks[at]
		for side, to := range b.Succ {
			for range maxThread {
				if to < 0 || !f.Blocks[to].empty() {
					break
				}
				to = f.Blocks[to].Succ[0]
			}
			b.Succ[side] = to
		}
		if i := b.End(); i.Op == Branch && b.Succ[0] == b.Succ[1] {
			i.become(Jump, 8, None, 0)
			b.Succ[1] = -1
		}
	}
}

// empty reports whether the block does nothing but jump.
func (b *Block) empty() bool {
	for k := range b.Ins {
		if op := b.Ins[k].Op; op != Nop {
			return op == Jump
		}
	}
	return false
}

// maxThread bounds how many jumps are followed, which may go in a circle.
const maxThread = 4

// straighten removes blocks that nothing leads to, and joins each block that only one
// other leads to, by a jump, with that.
func (f *Func) straighten() {
	from := f.arrivals()
	for at := range f.Blocks {
		if b := &f.Blocks[at]; from[at] != 0 && b.End().Op == Jump && from[b.Succ[0]] == 1 {
			from[b.Succ[0]] = -1 // goes to the block before it
		}
	}
	for at := range f.Blocks {
		b := &f.Blocks[at]
		for from[at] > 0 && b.End().Op == Jump && from[b.Succ[0]] < 0 {
			next := &f.Blocks[b.Succ[0]]
			b.Ins = f.workspace().ins.append(b.Ins[:len(b.Ins)-1], next.Ins)
			b.Succ = next.Succ
		}
	}
	kept := int32(0)
	for at := range f.Blocks {
		if from[at] > 0 {
			if int(kept) != at {
				f.Blocks[kept] = f.Blocks[at]
			}
			kept++
			from[at] = kept // its number, from 1
		}
	}
	f.Blocks = f.Blocks[:kept]
	for at := range f.Blocks {
		for side, to := range f.Blocks[at].Succ {
			if to >= 0 {
				f.Blocks[at].Succ[side] = from[to] - 1
			}
		}
	}
}

// arrivals counts how many edges lead to each block from such as may be reached. One
// more leads to the first.
func (f *Func) arrivals() []int32 {
	n := len(f.Blocks)
	memory := &f.workspace().int32s
	from, todo := memory.make(n), append(memory.room(n), 0)
	from[0] = 1
	for len(todo) > 0 {
		b := &f.Blocks[todo[len(todo)-1]]
		todo = todo[:len(todo)-1]
		for _, to := range b.Succ {
			if to < 0 {
				continue
			}
			if from[to]++; from[to] == 1 {
				todo = append(todo, to)
			}
		}
	}
	return from
}
