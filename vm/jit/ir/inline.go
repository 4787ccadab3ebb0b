package ir

import (
	"iter"
	"math/bits"
)

// Bounds of what is inlined, in instructions.
const (
	maxSmall = 48  // of a function that is called from several places
	maxOnce  = 512 // of one that is called from one place
	// growthRoom is how much a program may grow besides becoming twice as long.
	growthRoom = 4096
)

// spareVars are variables that inlining leaves for other passes.
const spareVars = 8

// Inline copies functions that are small, or called from one place only, to where
// they are called: R0 to R5 are the caller's, other variables become fresh ones, and
// what was their frame lies below the caller's. Functions that nobody
// calls any more go. No call of a function expects anything of R1 to R5 behind it.
func (p *Program) Inline() {
	n := inliner{prog: p, callees: make([]callee, len(p.Funcs))}
	if !n.survey() {
		return
	}
	for at, f := range p.Funcs {
		if n.callees[at].calls {
			n.function(f)
		}
		n.callees[at].describe(f)
	}
	p.drop()
}

// drop removes functions that nobody calls any more.
func (p *Program) drop() {
	number := make([]int64, len(p.Funcs)) // 1 where a function is needed, and then which one it is
	last := len(p.Funcs) - 1
	for at := last; at >= 0; at-- {
		if f := p.Funcs[at]; number[at] != 0 || at == last || f.Entered {
			number[at] = 1
			for i := range f.calls() {
				number[i.Imm] = 1
			}
		}
	}
	var needed []*Func
	for at, f := range p.Funcs {
		if number[at] != 0 {
			number[at] = int64(len(needed))
			needed = append(needed, f)
		}
	}
	for _, f := range needed {
		for i := range f.calls() {
			i.Imm = number[i.Imm]
		}
	}
	p.Funcs = needed
}

// calls gives all calls of functions.
func (f *Func) calls() iter.Seq[*Ins] {
	return func(yield func(*Ins) bool) {
		for at := range f.Blocks {
			ins := f.Blocks[at].Ins
			for k := range ins {
				if i := &ins[k]; i.Op == Call && !yield(i) {
					return
				}
			}
		}
	}
}

// inliner inlines the functions of a program.
type inliner struct {
	prog    *Program
	callees []callee
	room    int // instructions that the program may still grow by
}

// callee is what is known of a function.
type callee struct {
	sites int  // how many calls of it there are
	calls bool // whether it calls others
	size  int
	vars  Set  // variables that it uses beside R0 to R5
	frame bool // whether it uses frame memory
	stays bool // it cannot be copied
}

// survey counts calls, and reports whether any may be inlined.
func (n *inliner) survey() bool {
	any := false
	for at, f := range n.prog.Funcs {
		c := &n.callees[at]
		if c.stays = f.Entry < 0; c.stays || len(n.prog.Funcs) == 1 {
			continue
		}
		for b := range f.Blocks {
			n.room += len(f.Blocks[b].Ins)
		}
		for i := range f.calls() {
			if of := &n.callees[i.Imm]; !of.stays {
				of.sites++
				c.calls, any = true, true
			}
		}
	}
	n.room += growthRoom
	return any
}

// describe finds out what a copy of a function needs.
func (c *callee) describe(f *Func) {
	if c.stays || c.sites == 0 {
		return
	}
	for at := range f.Blocks {
		b := &f.Blocks[at]
		c.size += len(b.Ins)
		for k := range b.Ins {
			i := &b.Ins[k]
			c.vars |= i.Uses() | i.Kills()
			c.frame = c.frame || i.A == Frame
			c.stays = c.stays || i.Op == TailCall // which ends the function with its program
		}
	}
	c.vars &^= fixed
}

// caller is a function that others are copied into.
type caller struct {
	*inliner
	f      *Func
	frame  int     // how much of the frame is the function's own
	fresh  []Var   // variables of copies, which have none in common with what is around
	blocks []Block // what the function becomes
	rest   []int32 // those of them that lead to where a block of the function did
}

// function replaces calls in a function.
func (n *inliner) function(f *Func) {
	c := caller{inliner: n, f: f, frame: f.Frame}
	number := f.workspace().int32s.make(len(f.Blocks)) // where blocks begin now
	for at := range f.Blocks {
		b := f.Blocks[at]
		number[at] = int32(len(c.blocks))
		for k := 0; k < len(b.Ins); k++ {
			if i := &b.Ins[k]; i.Op == Call && c.takes(&n.callees[i.Imm]) {
				c.inline(b.Ins[: k+1 : k+1])
				b.Ins, k = b.Ins[k+1:], -1
			}
		}
		c.rest = append(c.rest, int32(len(c.blocks)))
		c.blocks = append(c.blocks, b)
	}
	for _, at := range c.rest {
		for side, to := range c.blocks[at].Succ {
			if to >= 0 {
				c.blocks[at].Succ[side] = number[to]
			}
		}
	}
	f.Blocks = c.blocks
}

// takes reports whether calls of a function are replaced.
func (c *caller) takes(of *callee) bool {
	most := maxSmall
	if of.sites == 1 {
		most = maxOnce
	}
	vars := bits.OnesCount64(uint64(of.vars)) - len(c.fresh) + int(c.f.Vars)
	return !of.stays && of.size <= min(most, c.room) && vars <= MaxVars-spareVars
}

// inline replaces the call at the end of some instructions: they jump to a copy of what is
// called, which jumps to the block behind it.
func (c *caller) inline(ins []Ins) {
	call := &ins[len(ins)-1]
	of, f := &c.callees[call.Imm], c.prog.Funcs[call.Imm]
	c.room -= of.size
	if of.frame {
		c.f.Frame = max(c.f.Frame, c.frame+f.Frame)
	}
	vars := c.rename(of.vars)
	*call = Ins{Op: Jump, Size: 8, Dst: None, A: None, B: None, C: None, At: call.At}
	first := int32(len(c.blocks)) + 1
	behind := first + int32(len(f.Blocks))
	c.blocks = append(c.blocks, Block{Ins: ins, Succ: [2]int32{first, -1}})
	room := c.f.workspace().ins.room(of.size)
	for at := range f.Blocks {
		b := f.Blocks[at]
		begin := len(room)
		room = append(room, b.Ins...)
		b.Ins = room[begin:len(room):len(room)]
		for k := range b.Ins {
			b.Ins[k].renumber(vars, c.frame)
		}
		for side, to := range b.Succ {
			if to >= 0 {
				b.Succ[side] = first + to
			}
		}
		if i := b.End(); i.Op == Return {
			i.Op, b.Succ[0] = Jump, behind
		}
		c.blocks = append(c.blocks, b)
	}
}

// rename gives fresh variables for some.
func (c *caller) rename(vars Set) *[256]Var {
	to := new([256]Var)
	for v := range to {
		to[v] = Var(v)
	}
	for k := 0; vars != 0; k++ {
		var v Var
		if v, vars = vars.Next(); k == len(c.fresh) {
			c.fresh = append(c.fresh, c.f.NewVar())
		}
		to[v] = c.fresh[k]
	}
	return to
}

// renumber lets an instruction use other variables, and a frame that lies lower.
func (i *Ins) renumber(to *[256]Var, below int) {
	if i.A == Frame {
		i.Off -= int32(below)
		if i.Op == Mov {
			i.Op = Lea
		}
	}
	i.Dst, i.A, i.B, i.C = to[i.Dst], to[i.A], to[i.B], to[i.C]
}
