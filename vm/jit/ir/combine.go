package ir

// Combine makes several instructions of a block one where a machine has one for
// them: rotations, extensions by shifts, numbers put together from loaded bytes, sums that are
// addresses, masks that are compared with 0. It needs liveness, and finds it out again
// on the way.
func (f *Func) Combine(t *Target) {
	longest := 0
	for at := range f.Blocks {
		longest = max(longest, len(f.Blocks[at].Ins))
	}
	c := combiner{target: t, nodes: f.workspace().nodes.make(longest + 1), vars: int(f.Vars)}
	leadsOn := f.leadsOn()
	for at := len(f.Blocks) - 1; at >= 0; at-- {
		b := &f.Blocks[at]
		if leadsOn {
			b.Out = f.liveOut(b)
		}
		c.block(b)
	}
	if !leadsOn {
		f.Liveness()
	}
}

// combiner combines instructions. What it knows of a variable is which instruction of the
// block wrote it; instructions count from 1, and 0 is what was there before.
type combiner struct {
	target *Target
	ins    []Ins
	nodes  []node // of the instructions, from 1
	vars   int
	moves  bool // the block has a Mov
	wrote  [64]int32
	read   [64]int32 // the last instruction that read a variable
	epoch  int32     // how many instructions so far may have written memory
	turned bool      // the instruction's operands have changed
	parts  parts     // of the Or that is being looked at
}

// node is what is known of an instruction besides.
type node struct {
	a, b, c int32 // what wrote the operands
	before  int32 // what wrote Dst before it
	moved   int32 // the instruction that does it instead; 0: it does itself
	epoch   int32
	// uses counts those that read the result: many where it is read behind the block, or
	// by more than an operand. addresses are those that need it as an address only.
	uses, addresses uint16
	gone            bool
}

// many is more uses than anything takes away.
const many = 1 << 14

func (c *combiner) block(b *Block) {
	c.link(b)
	c.start()
	clear(c.read[:c.vars])
	c.epoch = 0
	for k := range c.ins {
		c.combine(int32(k) + 1)
	}
	b.In = b.sweep()
}

// start goes to before the block's first instruction.
func (c *combiner) start() { clear(c.wrote[:c.vars]) }

// link finds out who reads what each instruction writes.
func (c *combiner) link(b *Block) {
	c.ins, c.moves = b.Ins, false
	c.start()
	for k := range b.Ins {
		i, n := &b.Ins[k], &c.nodes[k+1]
		n.before, n.moved, n.epoch, n.uses, n.addresses, n.gone = 0, 0, 0, 0, 0, false
		n.a, n.b, n.c = c.reads(i.A), c.reads(i.B), c.reads(i.C)
		switch {
		case i.Op >= Call && i.Op != Branch:
			for rest := i.Uses(); rest != 0; {
				var v Var
				v, rest = rest.Next()
				c.nodes[c.wrote[v]].uses |= many
			}
			c.writes(i, int32(k)+1)
			continue
		case i.Op == Mov:
			c.moves = true
		case (i.Op == Load || i.Op == LoadSext || i.Op == Store) && i.B == None:
			c.nodes[n.a].addresses++
		}
		if i.Dst != None {
			c.wrote[i.Dst] = int32(k) + 1
		}
	}
	for rest := b.Out; rest != 0; {
		var v Var
		v, rest = rest.Next()
		c.nodes[c.wrote[v]].uses |= many
	}
}

// writes notes what instruction k, a call, writes.
func (c *combiner) writes(i *Ins, k int32) {
	for rest := i.Kills(); rest != 0; {
		var v Var
		v, rest = rest.Next()
		c.wrote[v] = k
	}
}

// reads counts a use of what wrote a variable, and gives it.
func (c *combiner) reads(v Var) int32 {
	if v >= MaxVars || v == Frame {
		return 0
	}
	w := c.wrote[v]
	if n := &c.nodes[w]; n.uses < many-1 {
		n.uses++
	}
	return w
}

func (c *combiner) at(k int32) *Ins { return &c.ins[k-1] }

// combine takes into instruction k what it can.
func (c *combiner) combine(k int32) {
	n := &c.nodes[k]
	n.epoch = c.epoch
	if c.moves {
		n.a, n.b, n.c = c.now(n.a), c.now(n.b), c.now(n.c)
		c.copies(k)
	}
	c.turned = false
	c.form(k)
	if c.turned && c.moves {
		c.copies(k)
	}
	c.note(k)
}

// form finds the form of instruction k that takes most into it.
func (c *combiner) form(k int32) {
	i := c.at(k)
	switch i.Op {
	case Or:
		if !c.rotation(k) {
			c.bytes(k)
		}
		if i.Op == Load {
			c.index(k)
		}
	case Xor:
		c.rotation(k)
	case Add:
		if !c.rotation(k) {
			c.sum(k)
		}
	case Lea:
		c.sum(k)
	case Shl, Rol:
		c.count(k)
	case Shr, Sar:
		if !c.extension(k) {
			c.count(k)
		}
	case Load, LoadSext:
		c.index(k)
	case Store:
		c.index(k)
		c.part(k)
	case Branch:
		c.test(k)
	case Mov:
		c.direct(k)
	}
}

// now is what does what instruction w did.
func (c *combiner) now(w int32) int32 {
	for c.nodes[w].moved != 0 {
		w = c.nodes[w].moved
	}
	return w
}

// direct lets what only a Mov reads be written to where that puts it, if nobody needs
// what was there before.
func (c *combiner) direct(k int32) {
	i, n := c.at(k), &c.nodes[k]
	w := n.a
	if i.Size != 8 || !c.single(w) || !c.at(w).Pure() || c.read[i.Dst] > w {
		return
	}
	at := c.writer(i.Dst)
	if at >= w {
		return
	}
	source, m := c.at(w), &c.nodes[w]
	c.wrote[source.Dst], m.before, c.wrote[i.Dst] = m.before, at, w
	m.uses, m.addresses = n.uses, n.addresses
	source.Dst = i.Dst
	*i = nothing(i.At)
	n.gone, n.moved = true, w
}

// note keeps account of what instruction k reads and writes.
func (c *combiner) note(k int32) {
	i, n := c.at(k), &c.nodes[k]
	if i.Op >= Store {
		if i.Op < Jump {
			c.epoch++
		}
		if i.Op >= Call {
			for rest := i.Uses(); rest != 0; {
				var v Var
				v, rest = rest.Next()
				c.read[v] = k
			}
			c.writes(i, k)
			return
		}
	}
	c.read[i.A&63], c.read[i.B&63], c.read[i.C&63] = k, k, k
	if i.Dst != None {
		n.before = c.writer(i.Dst)
		c.wrote[i.Dst] = k
	}
}

// writer is what wrote a variable last, of what has not gone.
func (c *combiner) writer(v Var) int32 {
	at := c.wrote[v]
	for c.nodes[at].gone {
		at = c.nodes[at].before
	}
	return at
}

// held reports whether variable v, once some instructions are gone, holds
// what instruction w wrote.
func (c *combiner) held(v Var, w int32, going ...int32) bool {
	if v == Frame || v == None {
		return true
	}
	at := c.wrote[v]
	for at != w && at != 0 && (c.nodes[at].gone || contains(going, at)) {
		at = c.nodes[at].before
	}
	return at == w
}

func contains(all []int32, k int32) bool {
	for _, a := range all {
		if a == k {
			return true
		}
	}
	return false
}

// single reports whether instruction w is of this block and read just once.
func (c *combiner) single(w int32) bool { return w != 0 && c.nodes[w].uses == 1 }

// release takes away one use of what instruction w wrote, which goes when it was the
// last one.
func (c *combiner) release(w int32) {
	n := &c.nodes[w]
	if w == 0 || n.uses >= many-1 {
		return
	}
	n.uses--
	if n.uses > 0 || !c.at(w).Pure() {
		return
	}
	i := c.at(w)
	if (i.Op == Load || i.Op == LoadSext) && i.B == None {
		c.nodes[n.a].addresses--
	}
	i.become(Nop, 8, None, 0)
	i.Dst = None
	n.gone = true
	c.release(n.a)
	c.release(n.b)
}

// retain adds one use.
func (c *combiner) retain(w int32) {
	if n := &c.nodes[w]; n.uses < many-1 {
		n.uses++
	}
}

// operands lets instruction k read A from what instruction a wrote, and B from what b
// did, instead of what it read.
func (c *combiner) operands(k int32, va Var, a int32, vb Var, b int32) {
	i, n := c.at(k), &c.nodes[k]
	wasA, wasB := n.a, n.b
	i.A, i.B, n.a, n.b = va, vb, a, b
	c.turned = true
	c.retain(a)
	c.retain(b)
	c.release(wasA)
	c.release(wasB)
}

// copies reads what was copied instead of the copy, where that is possible again
// after instructions between them went.
func (c *combiner) copies(k int32) {
	i, n := c.at(k), &c.nodes[k]
	if i.Op >= Call && i.Op != Branch {
		return
	}
	for again := true; again; {
		again = false
		if v, w, ok := c.copied(n.a); ok {
			c.operands(k, v, w, i.B, n.b)
			again = true
		}
		if v, w, ok := c.copied(n.b); ok {
			c.operands(k, i.A, n.a, v, w)
			again = true
		}
		if v, w, ok := c.copied(n.c); ok {
			was := n.c
			i.C, n.c = v, w
			c.retain(w)
			c.release(was)
			again = true
		}
	}
}

// copied gives the variable that instruction w copied, and what wrote it.
func (c *combiner) copied(w int32) (Var, int32, bool) {
	if w == 0 {
		return None, 0, false
	}
	i, n := c.at(w), &c.nodes[w]
	if i.Op != Mov || i.Size != 8 || i.A == Frame || !c.held(i.A, n.a) {
		return None, 0, false
	}
	return i.A, n.a, true
}
