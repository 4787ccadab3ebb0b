package ir

import "math/bits"

// Colour gives the variables of all functions machine registers, with liveness found
// out. Variables 0 to 5 have those that the target fixes. Others have the same register
// only where none is written while the other lives. What gets none lives in frame
// memory, and instructions that move it in and out are added.
//
// It colours a graph (Briggs): variables are put aside, those first that surely find a
// register once the rest have theirs, and where there are none, the one that costs least
// in memory for the neighbours that it has. Functions come behind those that they call,
// so it is known which registers a call changes.
func (p *Program) Colour(t *Target) {
	for at, f := range p.Funcs {
		f.shape()
		f.initialise()
		c := colouring{f: f, target: t, funcs: p.Funcs}
		c.survey()
		f.Leaves = c.leaves
		c.choose(at+1 < len(p.Funcs))
		for _, x := range c.exits {
			x.ins.Live = f.Registers(x.live)
		}
		f.spill(c.memory)
		f.Clobbers = c.clobbers()
	}
}

// colouring is the colouring of a function. Its arrays are by variable; what None and
// Frame come to there says nothing.
type colouring struct {
	f      *Func
	target *Target
	funcs  []*Func

	conflicts [64]Set     // what lives on when the variable is written, or the reverse
	uses      [64]float32 // how often it is read and written
	across    [64]float32 // how often it is saved and restored, whatever register it has
	friends   [64]Set     // those that it becomes, or that become it
	pairs     []pair
	exits     []exit

	written Set
	changed RegSet // what calls change

	leaves  bool
	holders [32]Set // the variables that have a register
	memory  Set     // those that have none
}

// exit is a call or an exit, and what lives across it.
type exit struct {
	ins  *Ins
	live Set
}

// pair is what is known of a variable and another one, or a register.
type pair struct {
	moves [64]float32 // how often it becomes the other one
	saves [32]float32 // how often it is saved and restored if it has the register
}

// fixed are the variables whose registers the target says.
const fixed Set = 0x3f

// initialise writes 0 to variables that may be read before they are written: only slots
// of the stack are. Passes know what a slot cannot hold.
func (f *Func) initialise() {
	entry := &f.Blocks[0]
	unset := entry.In &^ fixed
	if unset == 0 {
		return
	}
	var ins []Ins
	for v, rest := unset.Next(); v < MaxVars; v, rest = rest.Next() {
		ins = append(ins, Ins{Op: Const, Size: 8, Dst: v, A: None, B: None, C: None, At: entry.Ins[0].At})
	}
	entry.Ins = append(ins, entry.Ins...)
	entry.In &= fixed
}

// survey finds out what the choice depends on.
func (c *colouring) survey() {
	f := c.f
	c.pairs = f.workspace().pairs.make(int(f.Vars))
	in := f.Blocks[0].In
	for v, rest := in.Next(); v < MaxVars; v, rest = rest.Next() {
		c.conflicts[v] |= in // they are all there at once
	}
	for at := range f.Blocks {
		b := &f.Blocks[at]
		w := b.weight()
		before := b.Out
		for k := len(b.Ins) - 1; k >= 0; k-- {
			i, live := &b.Ins[k], before
			before = live&^i.Kills() | i.Uses()
			if i.Leaves() {
				c.call(i, live, w)
			}
			c.uses[i.A&63] += w
			if i.B != None {
				c.uses[i.B&63] += w
			}
			if i.C != None {
				c.uses[i.C&63] += w
			}
			if i.Dst == None {
				continue
			}
			c.uses[i.Dst&63] += w
			c.written |= Of(i.Dst)
			if i.Op == Mov && i.Size == 8 {
				live &^= Of(i.A) // the same is in both
			}
			c.conflicts[i.Dst&63] |= live
			if i.Op <= Zext && i.A != i.Dst && i.A < MaxVars && i.A != Frame {
				c.friends[i.Dst] |= Of(i.A)
				c.friends[i.A] |= Of(i.Dst)
				c.pairs[i.Dst].moves[i.A] += w
			}
		}
	}
	for v := range f.Vars {
		c.conflicts[v] &^= Of(v)
		for u, rest := c.conflicts[v].Next(); u < MaxVars; u, rest = rest.Next() {
			c.conflicts[u] |= Of(v)
		}
	}
}

// call notes what a call or an exit changes, and what it costs those that live across.
// What is done where the budget is used up costs nothing otherwise.
func (c *colouring) call(i *Ins, live Set, w float32) {
	across := live &^ i.Kills()
	c.exits = append(c.exits, exit{i, across})
	across &^= fixed
	if i.Kills().Has(0) {
		c.written |= 1
		c.conflicts[0] |= live
	}
	if i.Op == Call && !c.funcs[i.Imm].Leaves {
		clobbers := c.funcs[i.Imm].Clobbers
		c.changed |= clobbers
		for v, rest := across.Next(); v < MaxVars; v, rest = rest.Next() {
			for regs := clobbers; regs != 0; regs &= regs - 1 {
				c.pairs[v].saves[bits.TrailingZeros32(uint32(regs))] += 2 * w
			}
		}
		return
	}
	if i.Op == Fuel {
		c.leaves = c.leaves || !c.target.FuelKeeps
		return
	}
	c.leaves = true
	for v, rest := across.Next(); v < MaxVars; v, rest = rest.Next() {
		c.across[v] += 2 * w
	}
}

// choose gives each variable its register, or memory.
func (c *colouring) choose(called bool) {
	f, t := c.f, c.target
	for v := range f.Regs {
		f.Regs[v] = NoReg
	}
	f.Regs[Scratch0], f.Regs[Scratch1] = t.Scratch[0], t.Scratch[1]
	for v, r := range t.Fixed {
		f.Regs[v] = r
		c.holders[r] |= 1 << v
	}
	order := c.order(called)
	for _, v := range c.aside(len(order)) {
		best, most := NoReg, float32(0)
		for _, r := range order {
			if c.holders[r]&c.conflicts[v] != 0 {
				continue
			}
			pays := c.uses[v] - c.across[v] - c.pairs[v].saves[r]
			friends := c.friends[v] & c.holders[r]
			for u, rest := friends.Next(); u < MaxVars; u, rest = rest.Next() {
				pays += c.pairs[v].moves[u] + c.pairs[u].moves[v]
			}
			if pays > most {
				best, most = r, pays
			}
		}
		if f.Regs[v] = best; best == NoReg {
			c.memory |= Of(v)
		} else {
			c.holders[best] |= Of(v)
		}
	}
}

// order is the registers that variables may have, and of two that are as good, the
// better one first: in a function that others call, those whose change costs callers
// nothing.
func (c *colouring) order(called bool) []Reg {
	t := c.target
	order := make([]Reg, 0, 32)
	if called && !c.leaves {
		order = append(order, t.Fixed[:]...)
		return append(order, t.Free...)
	}
	order = append(order, t.Free...)
	return append(order, t.Fixed[:]...)
}

// aside puts the variables that may have one of n registers aside, one by one, and
// gives them from the last one to the first.
func (c *colouring) aside(n int) []Var {
	left := Set(0)
	var room [64]int // how many registers those of fixed leave it
	for v := Var(6); v < c.f.Vars; v++ {
		if c.uses[v] > 0 && v != Frame {
			left |= Of(v)
			room[v] = n - bits.OnesCount64(uint64(c.conflicts[v]&fixed))
		}
	}
	vars := make([]Var, bits.OnesCount64(uint64(left)))
	for k := len(vars) - 1; k >= 0; k-- {
		var best Var
		sure, least := false, float32(0)
		for v, rest := left.Next(); v < MaxVars; v, rest = rest.Next() {
			neighbours := bits.OnesCount64(uint64(c.conflicts[v] & left))
			is, cost := neighbours < room[v], c.uses[v]
			if !is {
				cost /= float32(neighbours)
			}
			if best == 0 || is && !sure || is == sure && cost < least {
				best, sure, least = v, is, cost
			}
		}
		vars[k] = best
		left &^= Of(best)
	}
	return vars
}

// clobbers are the registers that a call of the function changes.
func (c *colouring) clobbers() RegSet {
	if c.leaves {
		return c.target.All
	}
	changed := c.changed | 1<<c.target.Scratch[0] | 1<<c.target.Scratch[1]
	for v, rest := (c.written &^ c.memory).Next(); v < MaxVars; v, rest = rest.Next() {
		changed |= 1 << c.f.Regs[v]
	}
	return changed
}
