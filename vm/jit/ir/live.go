package ir

// Liveness finds out which variables live where: In and Out of each block.
//
// A variable that nothing wrote on some path lives at the function's beginning.
func (f *Func) Liveness() {
	if f.leadsOn() {
		for at := len(f.Blocks) - 1; at >= 0; at-- {
			b := &f.Blocks[at]
			b.Out = f.liveOut(b)
			b.In = b.liveIn()
		}
		return
	}
	n, work := len(f.Blocks), f.workspace()
	blocks := work.summaries.make(n)
	edges := f.edges()
	todo := work.int32s.make(n) // the last ones first, as most edges lead on
	for at := range f.Blocks {
		b := &f.Blocks[at]
		s := &blocks[at]
		for k := len(b.Ins) - 1; k >= 0; k-- {
			i := &b.Ins[k]
			kills := i.Kills()
			s.uses = s.uses&^kills | i.Uses()
			s.kills |= kills
		}
		b.In, b.Out = s.uses, 0
		todo[at], s.waits = int32(at), true
	}
	for len(todo) > 0 {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		b, s := &f.Blocks[at], &blocks[at]
		s.waits = false
		out := f.liveOut(b)
		in := out&^s.kills | s.uses
		b.Out = out
		if in == b.In {
			continue
		}
		b.In = in
		for e := edges.first[at]; e != 0; e = edges.next[e-1] {
			if from := (e - 1) / 2; !blocks[from].waits {
				blocks[from].waits = true
				todo = append(todo, from)
			}
		}
	}
}

// leadsOn reports whether all edges lead to blocks further on. Then one walk from the last
// block to the first finds out what lives.
func (f *Func) leadsOn() bool {
	for at := range f.Blocks {
		if b := &f.Blocks[at]; b.Succ[0] >= 0 && int(b.Succ[0]) <= at || b.Succ[1] >= 0 && int(b.Succ[1]) <= at {
			return false
		}
	}
	return true
}

// liveIn are the variables that live before the block.
func (b *Block) liveIn() Set {
	live := b.Out
	for k := len(b.Ins) - 1; k >= 0; k-- {
		i := &b.Ins[k]
		live = live&^i.Kills() | i.Uses()
	}
	return live
}

// summary is what is known of a whole block.
type summary struct {
	uses, kills Set
	waits       bool // to be looked at
}

// liveOut are the variables that live behind a block, as far as what lives before others is
// known.
func (f *Func) liveOut(b *Block) (live Set) {
	for _, to := range b.Succ {
		if to >= 0 {
			live |= f.Blocks[to].In
		}
	}
	return live
}

// edges are the blocks that lead to each block, as lists of edges: edge 2*at+side is
// the one along Succ[side] of a block.
type edges struct {
	first []int32 // by block: 1 more than the number of an edge to it, or 0
	next  []int32 // by edge: the next one to the same block, alike
}

// edges finds out which blocks lead to which.
func (f *Func) edges() edges {
	n := len(f.Blocks)
	lists := f.workspace().int32s.make(3 * n)
	e := edges{lists[:n], lists[n:]}
	for at := range f.Blocks {
		for side, to := range f.Blocks[at].Succ {
			if to >= 0 {
				edge := 2*at + side
				e.next[edge] = e.first[to]
				e.first[to] = int32(edge) + 1
			}
		}
	}
	return e
}

// weights are how often a block is thought to run, by its depth.
var weights = [...]float32{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6}

// coldWeight is how much less often a cold one does.
const coldWeight = 1. / 64

// weight is how often the block is thought to run.
func (b *Block) weight() float32 {
	if b.Cold {
		return weights[b.Depth] * coldWeight
	}
	return weights[b.Depth]
}

// shape finds out how often each block runs: which ones are cold, and how many loops
// each is in. A loop is taken to be all blocks from the one that an edge leads back to,
// to the last one that such an edge comes from: so compilers lay loops out, and only
// weights depend on it.
func (f *Func) shape() {
	n := len(f.Blocks)
	memory := &f.workspace().int32s
	w := flow{order: memory.room(n), place: memory.make(n)}
	w.sort(f)
	reached := memory.make(n)                    // from blocks before
	last, ends := memory.make(n), memory.make(n) // 1 more than a loop's last block, by its first; how many end with a block
	for _, at := range w.order {
		b := &f.Blocks[at]
		b.Cold = reached[at] == fromCold
		for side, to := range b.Succ {
			switch {
			case to < 0:
			case w.leadsBack(at, to):
				first := min(at, to)
				last[first] = max(last[first], at+1, to+1)
			case b.Cold || side == 0 && b.End().Flag&Cold != 0:
				reached[to] |= fromCold
			default:
				reached[to] |= fromWarm
			}
		}
	}
	depth := 0
	for at := range f.Blocks {
		if last[at] > 0 {
			depth++
			ends[last[at]-1]++
		}
		f.Blocks[at].Depth = uint8(min(depth, len(weights)-1))
		depth -= int(ends[at])
	}
}

// Where a block is reached from.
const (
	fromCold = 1 << iota
	fromWarm
)
