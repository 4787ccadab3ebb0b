package ir

// spill moves variables into frame memory: instructions that use them have Scratch0
// and Scratch1 instead, which are loaded before and stored behind.
func (f *Func) spill(vars Set) {
	if vars == 0 {
		return
	}
	s := spilling{vars: vars}
	for v, rest := vars.Next(); v < MaxVars; v, rest = rest.Next() {
		f.Frame += 8
		s.slots[v] = int32(-f.Frame)
	}
	for at := range f.Blocks {
		b := &f.Blocks[at]
		b.In &^= vars
		b.Out &^= vars
		if !s.touches(b) {
			continue
		}
		if room := 2 * len(b.Ins); cap(s.out)-len(s.out) < room {
			s.out = f.workspace().ins.room(max(room, 256))
		}
		begin := len(s.out)
		for k := range b.Ins {
			s.instruction(b.Ins[k])
		}
		b.Ins = s.out[begin:len(s.out):len(s.out)]
	}
}

// spilling rewrites the instructions of a function.
type spilling struct {
	vars  Set
	slots [MaxVars]int32 // by variable: its offset from Frame
	out   []Ins          // of blocks so far
}

// touches reports whether a block uses the variables.
func (s *spilling) touches(b *Block) bool {
	used := Set(0)
	for k := range b.Ins {
		i := &b.Ins[k]
		used |= 1<<i.Dst | 1<<i.A | 1<<i.B | 1<<i.C // a call uses no others that may be in memory
	}
	return used&s.vars != 0
}

// instruction rewrites one.
func (s *spilling) instruction(i Ins) {
	if (1<<i.Dst|1<<i.A|1<<i.B|1<<i.C)&s.vars == 0 {
		s.out = append(s.out, i)
		return
	}
	if s.move(i) {
		return
	}
	s.split(&i)
	to := [2]Var{None, None} // what the scratches hold
	if i.A == Scratch0 {
		to[0] = Scratch0
	}
	for _, v := range [...]*Var{&i.A, &i.B, &i.C} {
		if s.has(*v) {
			s.operand(v, &to, i.At)
		}
	}
	dst := i.Dst
	if !s.has(dst) {
		s.out = append(s.out, i)
		return
	}
	i.Dst = Scratch0
	if to[1] == dst {
		i.Dst = Scratch1
	}
	s.out = append(s.out, i)
	s.store(dst, i.Dst, i.At)
}

// operand puts a variable into a scratch, unless it is there.
func (s *spilling) operand(v *Var, to *[2]Var, at int32) {
	for n, scratch := range [...]Var{Scratch0, Scratch1} {
		if to[n] == None {
			to[n] = *v
			s.load(scratch, *v, at)
		}
		if to[n] == *v {
			*v = scratch
			return
		}
	}
}

// move rewrites what only moves a variable into memory or out of it.
func (s *spilling) move(i Ins) bool {
	in, out := s.has(i.Dst), s.has(i.A)
	switch {
	case i.Op == Const && in:
		i.Op, i.Width, i.A, i.Off, i.Dst = Store, 8, Frame, s.slots[i.Dst], None
	case i.Op == Mov && i.Size == 8 && in && !out && i.A != Frame:
		s.store(i.Dst, i.A, i.At)
		return true
	case (i.Op == Mov || i.Op == Zext) && out:
		if i.Op == Mov {
			i.Width = i.Size
		}
		dst := i.Dst
		i.Op, i.Size, i.A, i.Off = Load, 8, Frame, s.slots[i.A]
		if in {
			i.Dst = Scratch0
		}
		s.out = append(s.out, i)
		if in {
			s.store(dst, Scratch0, i.At)
		}
		return true
	default:
		return false
	}
	s.out = append(s.out, i)
	return true
}

// split rewrites an instruction of which more operands are in memory than there are
// scratches for them. What it leaves in Scratch0 is A.
func (s *spilling) split(i *Ins) {
	if !s.has(i.A) || !s.has(i.B) || i.A == i.B {
		return
	}
	third := s.has(i.C) && i.C != i.A && i.C != i.B
	switch {
	case i.Op == Store && (i.C == None || third):
		lea := Ins{Op: Lea, Size: 8, Dst: Scratch0, A: Scratch0, B: Scratch1, C: None, N: i.N, Off: i.Off, At: i.At}
		s.load(Scratch0, i.A, i.At)
		s.load(Scratch1, i.B, i.At)
		s.out = append(s.out, lea)
		i.A, i.B, i.N, i.Off = Scratch0, None, 0, 0
	case third: // Cmpxchg, or one that is Slow: R0 is what it expects, and what it gives
		s.load(i.Dst, i.B, i.At)
		i.B = i.Dst
	}
}

func (s *spilling) has(v Var) bool { return v < MaxVars && s.vars.Has(v) }

// load and store move a variable from its memory and there.
func (s *spilling) load(dst, v Var, at int32) {
	s.out = append(s.out, Ins{Op: Load, Size: 8, Width: 8, Dst: dst, A: Frame, B: None, C: None, Off: s.slots[v], At: at})
}

func (s *spilling) store(v, from Var, at int32) {
	s.out = append(s.out, Ins{Op: Store, Size: 8, Width: 8, Dst: None, A: Frame, B: None, C: from, Off: s.slots[v], At: at})
}
