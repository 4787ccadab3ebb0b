package ir

import (
	"cmp"
	"math/bits"
	"slices"
)

// Promote makes variables of slots of a function's frame memory, and reports whether there
// are any: of slots that are only loaded and stored, always whole, and that nothing else
// reaches, the most used ones. Frame memory that nothing uses any more is given up. It
// wants liveness, and addresses in the frame as [Func.Fold] leaves them.
//
// What else reaches frame memory is an address: one that a helper is given, as far as its
// prototype says, and one that is kept, computed with or given to another function,
// which may lead anywhere.
func (p *Program) Promote(f *Func) bool {
	if f.Frame == 0 {
		return false
	}
	f.shape()
	work := f.workspace()
	m := promotion{f: f, prog: p, size: f.Frame, accesses: work.accesses[:0]}
	defer func() { work.accesses = m.accesses }()
	for at := range f.Blocks {
		m.block = int32(at)
		if m.survey(&f.Blocks[at]); m.lost {
			return false
		}
	}
	found := m.choose()
	m.rewrite()
	f.Frame = (m.kept + 7) &^ 7
	return found
}

// promotion is the promotion of a function's slots.
type promotion struct {
	f    *Func
	prog *Program
	size int // of the frame, in bytes
	// slots are by the byte that they begin with, from the frame's lowest one; begun
	// has a bit for each that is accessed.
	slots []slot
	begun []uint64
	kept  int  // how many bytes below Frame stay
	lost  bool // an address may lead anywhere

	// What is known where the walk through a block is.
	frames  Set       // variables that hold addresses in the frame
	offsets [64]int32 // which, from Frame

	touches []Touch
	consts  []Ins

	accesses []*Ins  // of whole slots
	zeroed   []int32 // blocks with stores of zeroes
	block    int32   // the one that is looked at
}

// slot is what is known of a byte of the frame, and of what begins there. Stores of
// zeroes, which often go over several slots, are told apart.
type slot struct {
	widths uint8 // the sum of the different widths that it is accessed with
	loaded bool
	zeroes bool // a store of zeroes begins with the byte, or has ended
	fixed  bool // the byte stays in memory
	v      Var  // what the slot becomes; 0: it stays; None: nobody reads it
	weight float32
}

// survey notes how a block accesses the frame.
func (m *promotion) survey(b *Block) {
	m.frames = 0
	w := b.weight()
	for k := range b.Ins {
		i := &b.Ins[k]
		switch {
		case i.A == Frame || m.frames != 0 && i.Uses()&m.frames != 0:
			m.uses(b.Ins[:k+1], w)
		case m.frames != 0:
			m.frames &^= i.Kills()
		}
	}
	if m.frames&b.Out != 0 {
		m.lost = true
	}
}

// uses notes what the last of a block's instructions so far does with addresses in the
// frame.
func (m *promotion) uses(ins []Ins, w float32) {
	i := &ins[len(ins)-1]
	frames := m.frames
	m.frames &^= i.Kills()
	switch i.Op {
	case Helper, Call:
		m.call(ins, frames&i.Uses())
		return
	case Branch: // tells nothing but which one is lower
		return
	}
	base := int32(0)
	if i.A != Frame {
		if !frames.Has(i.A & 63) {
			m.lost = true // it is stored, or added to something
			return
		}
		base = m.offsets[i.A]
	}
	beside := frames & (Of(i.B) | Of(i.C))
	switch {
	case beside != 0:
		m.lost = true
	case i.Op == Mov && i.Size == 8:
		m.address(i.Dst, base)
	case i.Op == Lea && i.B == None:
		m.address(i.Dst, base+i.Off)
	case i.Op == Add && i.Size == 8 && i.B == None:
		m.address(i.Dst, base+int32(i.Imm))
	case i.Op >= Load && i.Op <= Store && i.B == None:
		m.access(i, base+i.Off, w)
	case i.Op >= AtomicAdd && i.Op <= StoreRelease:
		m.keep(base+i.Off, int64(i.Width))
	default:
		m.lost = true
	}
}

// address notes that a variable holds an address in the frame.
func (m *promotion) address(v Var, off int32) {
	m.frames |= Of(v)
	m.offsets[v] = off
}

// call notes what the last instruction, a call, does with addresses that it is given.
func (m *promotion) call(ins []Ins, given Set) {
	i := &ins[len(ins)-1]
	if given == 0 {
		return
	}
	touches, known := m.prog.Touches(i, m.touches[:0])
	if m.touches = touches; !known {
		m.lost = true
		return
	}
	for _, t := range touches {
		if !given.Has(t.Arg) {
			continue
		}
		size := int64(t.Size)
		if t.Length != None {
			size = lengthIn(ins, t.Length)
		}
		off := m.offsets[t.Arg]
		m.keep(off, min(size, max(int64(-off), 0))) // it goes up, and not beyond the frame
	}
}

// at gives the byte at an offset from Frame.
func (m *promotion) at(off int32) int {
	if m.slots == nil {
		m.slots, m.begun = m.f.workspace().slots.make(m.size), make([]uint64, (m.size+63)/64)
	}
	return m.size + int(off)
}

// lengthIn is what a variable holds behind some instructions of a block, if they make it a
// constant, and Everything otherwise.
func lengthIn(ins []Ins, v Var) int64 {
	for k := len(ins) - 2; k >= 0; k-- {
		if i := &ins[k]; i.Op == Const && i.Dst == v {
			return i.Imm
		} else if i.Kills().Has(v) {
			break
		}
	}
	return Everything
}

// access notes a load or a store.
func (m *promotion) access(i *Ins, off int32, w float32) {
	at := m.at(off)
	if i.A != Frame || at < 0 || at+int(i.Width) > m.size {
		m.keep(off, int64(i.Width))
		return
	}
	if i.zeroes() {
		if n := len(m.zeroed); n == 0 || m.zeroed[n-1] != m.block {
			m.zeroed = append(m.zeroed, m.block)
		}
		m.slots[at].zeroes = true
		if end := at + int(i.Width); end < m.size {
			m.slots[end].zeroes = true
		}
		return
	}
	m.accesses = append(m.accesses, i)
	m.begun[at/64] |= 1 << (at % 64)
	s := &m.slots[at]
	s.widths |= i.Width
	s.weight += w
	s.loaded = s.loaded || i.Op != Store
}

// zeroes reports whether the instruction stores zeroes.
func (i *Ins) zeroes() bool { return i.Op == Store && i.C == None && i.Imm == 0 }

// keep notes that some bytes stay in memory.
func (m *promotion) keep(off int32, size int64) {
	at := m.at(off)
	if at < 0 || size < 0 || size > int64(m.size-at) {
		m.lost = true
		return
	}
	m.fix(at, at+int(size))
}

// fix notes that some bytes stay in memory.
func (m *promotion) fix(at, end int) {
	for k := at; k < end; k++ {
		m.slots[k].fixed = true
	}
	m.reach(at)
}

// reach notes that a byte, and all above it, stay part of the frame.
func (m *promotion) reach(at int) { m.kept = max(m.kept, m.size-at) }

// choose makes variables of slots, and reports whether there are any.
func (m *promotion) choose() bool {
	var found []int
	end := 0 // of the slots that were looked at
	for n, word := range m.begun {
		for ; word != 0; word &= word - 1 {
			at := 64*n + bits.TrailingZeros64(word)
			if at < end {
				continue
			}
			var is groupKind
			switch end, is = m.group(at); is {
			case stays:
				m.fix(at, end)
			case unread:
				for k := at; k < end; k++ {
					m.slots[k].v = None
				}
			default:
				found = append(found, at)
			}
		}
	}
	if n := int(MaxVars - m.f.Vars); len(found) > n {
		slices.SortStableFunc(found, func(a, b int) int { return cmp.Compare(m.slots[b].weight, m.slots[a].weight) })
		for _, at := range found[n:] {
			m.fix(at, at+int(m.slots[at].widths))
		}
		found = found[:n]
	}
	for _, at := range found {
		m.slots[at].v = m.f.NewVar()
	}
	return len(found) > 0
}

// groupKind is what slots that overlap are.
type groupKind uint8

const (
	single groupKind = iota // one that can become a variable
	unread                  // nobody reads them
	stays                   // they stay in memory
)

// group gives the end of the slots that overlap from a byte on, and what they are.
func (m *promotion) group(at int) (end int, is groupKind) {
	one, loaded, fixed := true, false, false
	end = at + 1
	for k := at; k < end; k++ {
		s := &m.slots[k]
		if s.widths != 0 {
			one = one && k == at && s.widths&(s.widths-1) == 0
			end = max(end, k+1<<(bits.Len8(s.widths)-1))
		}
		one = one && (k == at || !s.zeroes)
		loaded = loaded || s.loaded
		fixed = fixed || s.fixed
	}
	switch {
	case fixed, loaded && !one:
		return end, stays
	case !loaded:
		return end, unread
	}
	return end, single
}

// rewrite lets instructions use the variables.
func (m *promotion) rewrite() {
	for _, i := range m.accesses {
		if v := m.slots[m.at(i.Off)].v; v != 0 {
			i.promote(v)
		}
	}
	for _, at := range m.zeroed {
		m.rewriteZeroes(&m.f.Blocks[at])
	}
}

// rewriteZeroes does so in a block's stores of zeroes.
func (m *promotion) rewriteZeroes(b *Block) {
	var out []Ins // what the block becomes if it becomes longer
	for k := range b.Ins {
		i := &b.Ins[k]
		if i.A == Frame && i.B == None && i.zeroes() {
			m.zeroes(i)
			if len(m.consts) > 0 && out == nil {
				out = append(m.f.workspace().ins.room(len(b.Ins)+len(m.consts)), b.Ins[:k]...)
			}
			out = append(out, m.consts...)
		}
		if out != nil {
			out = append(out, *i)
		}
	}
	if out != nil {
		b.Ins = out
	}
}

// zeroes stores zeroes into the variables that are there instead, and drops the store of
// what nobody reads.
func (m *promotion) zeroes(i *Ins) {
	at := m.at(i.Off)
	kept := false
	m.consts = m.consts[:0]
	for k := at; k < at+int(i.Width); k++ {
		s := &m.slots[k]
		kept = kept || s.fixed
		if s.v != 0 && s.v != None {
			m.consts = append(m.consts, Ins{Op: Const, Size: 8, Dst: s.v, A: None, B: None, C: None, At: i.At})
		}
	}
	switch n := len(m.consts); {
	case kept:
		m.reach(at)
	case n > 0:
		*i = m.consts[n-1]
		m.consts = m.consts[:n-1]
	default:
		*i = nothing(i.At)
	}
}

// promote makes a move of a load or store of a slot that is now a variable, which holds
// the slot's bytes, zero-extended. It drops a store of what nobody reads.
func (i *Ins) promote(v Var) {
	if v == None {
		*i = nothing(i.At)
		return
	}
	whole := i.Width == 8
	i.Off, i.Size = 0, 8
	switch {
	case i.Op == Load || i.Op == LoadSext && whole:
		i.Op, i.A = Mov, v
	case i.Op == LoadSext:
		i.Op, i.A = Sext, v
	case i.C == None:
		i.Op, i.A, i.Dst = Const, None, v
		if !whole {
			i.Imm &= 1<<(8*i.Width) - 1
		}
	default:
		i.A, i.Dst, i.C = i.C, v, None
		if i.Op = Zext; whole {
			i.Op = Mov
		}
	}
	if i.Op == Mov || i.Op == Const {
		i.Width = 0
	}
}
