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
	m := promotion{f: f, prog: p, size: f.Frame}
	for at := range f.Blocks {
		if m.survey(&f.Blocks[at]); m.lost {
			return false
		}
	}
	found := m.choose()
	if found {
		m.rewrite()
	}
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
	numbers Set       // variables that hold numbers
	values  [64]int64

	touches []Touch
}

// slot is what is known of a byte of the frame, and of what begins there.
type slot struct {
	widths uint8 // the sum of the different widths that it is accessed with
	fixed  bool  // the byte stays in memory
	v      Var   // what the slot becomes; 0: it stays
	weight float32
}

// survey notes how a block accesses the frame.
func (m *promotion) survey(b *Block) {
	m.frames, m.numbers = 0, 0
	w := b.weight()
	for k := range b.Ins {
		i := &b.Ins[k]
		kills := i.Kills()
		if i.A == Frame || i.Uses()&m.frames != 0 {
			m.uses(i, w)
		} else {
			m.frames &^= kills
		}
		m.numbers &^= kills
		if i.Op == Const {
			m.numbers |= Of(i.Dst)
			m.values[i.Dst] = i.Imm
		}
	}
	if m.frames&b.Out != 0 {
		m.lost = true
	}
}

// uses notes what an instruction does with addresses in the frame.
func (m *promotion) uses(i *Ins, w float32) {
	frames := m.frames
	m.frames &^= i.Kills()
	switch i.Op {
	case Helper, Call:
		m.call(i, frames&i.Uses())
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

// call notes what a call does with addresses that it is given.
func (m *promotion) call(i *Ins, given Set) {
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
			if size = Everything; m.numbers.Has(t.Length) {
				size = m.values[t.Length]
			}
		}
		off := m.offsets[t.Arg]
		m.keep(off, min(size, max(int64(-off), 0))) // it goes up, and not beyond the frame
	}
}

// at gives the byte at an offset from Frame.
func (m *promotion) at(off int32) int {
	if m.slots == nil {
		m.slots, m.begun = make([]slot, m.size), make([]uint64, (m.size+63)/64)
	}
	return m.size + int(off)
}

// access notes a load or a store.
func (m *promotion) access(i *Ins, off int32, w float32) {
	at := m.at(off)
	if i.A != Frame || at < 0 || at+int(i.Width) > m.size {
		m.keep(off, int64(i.Width))
		return
	}
	m.begun[at/64] |= 1 << (at % 64)
	m.slots[at].widths |= i.Width
	m.slots[at].weight += w
}

// keep notes that some bytes stay in memory.
func (m *promotion) keep(off int32, size int64) {
	at := m.at(off)
	if at < 0 || size < 0 || size > int64(m.size-at) {
		m.lost = true
		return
	}
	for k := range m.slots[at : at+int(size)] {
		m.slots[at+k].fixed = true
	}
	m.stays(at)
}

// stays notes that a byte, and all above it, stay part of the frame.
func (m *promotion) stays(at int) { m.kept = max(m.kept, m.size-at) }

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
			good := false
			if end, good = m.group(at); good {
				found = append(found, at)
			} else {
				m.stays(at)
			}
		}
	}
	if n := int(MaxVars - m.f.Vars); len(found) > n {
		slices.SortStableFunc(found, func(a, b int) int { return cmp.Compare(m.slots[b].weight, m.slots[a].weight) })
		for _, at := range found[n:] {
			m.stays(at)
		}
		found = found[:n]
	}
	for _, at := range found {
		m.slots[at].v = m.f.NewVar()
	}
	return len(found) > 0
}

// group gives the end of the slots that overlap from a byte on, and whether there is
// just one, that can become a variable.
func (m *promotion) group(at int) (end int, good bool) {
	good, end = true, at+1
	for k := at; k < end; k++ {
		s := &m.slots[k]
		if widths := s.widths; widths != 0 {
			good = good && k == at && widths&(widths-1) == 0
			end = max(end, k+1<<(bits.Len8(widths)-1))
		}
		good = good && !s.fixed
	}
	return end, good
}

// rewrite lets instructions use the variables.
func (m *promotion) rewrite() {
	for at := range m.f.Blocks {
		b := &m.f.Blocks[at]
		for k := range b.Ins {
			if i := &b.Ins[k]; i.A == Frame && i.Op >= Load && i.Op <= Store && i.B == None {
				if v := m.slots[m.at(i.Off)].v; v != 0 {
					i.promote(v)
				}
			}
		}
	}
}

// promote makes a move of a load or store of a slot that is now a variable. The variable
// holds the slot's bytes, zero-extended.
func (i *Ins) promote(v Var) {
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
