package verifier

import (
	"math"
	"math/bits"

	"github.com/skep-ebpf/skep/isa"
)

// halves is a set of halves of stack slots: half n is the four bytes from -4(n+1) of
// the frame pointer on. Linux keeps track of stack that is read in these.
type halves [2]uint64

var allHalves = halves{math.MaxUint64, math.MaxUint64}

// span is the set of the halves from one to another.
func span(low, high int) (s halves) {
	for n := max(low, 0); n <= min(high, 127); n++ {
		s[n/64] |= 1 << (n % 64)
	}
	return s
}

func (s halves) or(t halves) halves     { return halves{s[0] | t[0], s[1] | t[1]} }
func (s halves) andNot(t halves) halves { return halves{s[0] &^ t[0], s[1] &^ t[1]} }
func (s halves) has(n int) bool         { return s[n/64]>>(n%64)&1 != 0 }

// slotUse is what an instruction does with one frame's stack.
type slotUse struct{ read, written, live halves }

// stackUse is what a function does with its own stack and with those of its callers,
// when it is called at one place.
type stackUse struct {
	fn     int      // noFunction: not known
	depth  int      // how many callers' stacks it may reach
	args   [6]where // R1 to R5, by their numbers
	caller []spill  // what the caller keeps of pointers on its stack
	// frames are the uses by each instruction, from the function's first on: of its own
	// stack, its caller's, and so on. Nil where it has none.
	frames [isa.MaxFrames][]slotUse
}

// noFunction is the function of a stackUse of which nothing is known: a function is
// called again by what it called.
const noFunction = -1

// at gives the uses of a frame's stack by an instruction, or nil.
func (u *stackUse) at(c *checker, frame, insn int) *slotUse {
	if frame >= len(u.frames) || u.frames[frame] == nil {
		return nil
	}
	return &u.frames[frame][insn-c.funcs[u.fn].Start]
}

// note gives the same to be filled.
func (u *stackUse) note(c *checker, frame, insn int) *slotUse {
	f := &c.funcs[u.fn]
	if u.frames[frame] == nil {
		u.frames[frame] = make([]slotUse, f.end-f.Start)
	}
	return &u.frames[frame][insn-f.Start]
}

// stackUses are the uses of all functions.
type stackUses struct {
	alone  []*stackUse // by function: called with no pointers to a stack
	called []*stackUse // by the call: called with some
}

// findStackUse computes which stack slots each function reads later. Where pointers
// to the stack are is followed from callers to callees; what is read then goes from
// callees back to callers.
func (c *checker) findStackUse() {
	c.uses = stackUses{alone: make([]*stackUse, len(c.funcs)), called: make([]*stackUse, len(c.insns))}
	of := make([][]*stackUse, len(c.funcs))
	flow := stackFlow{checker: c, of: of, done: make([]bool, len(c.funcs))}
	for i := range c.insns {
		if ins := &c.insns[i]; isFuncLoad(ins) {
			c.uses.alone[c.funcAt(callee(i, ins))] = new(stackUse)
		}
	}
	for k := len(c.order) - 1; k >= 0; k-- {
		n := c.order[k]
		if f := &c.funcs[n]; n == 0 || f.global || f.exception || c.uses.alone[n] != nil {
			u := &stackUse{fn: n}
			for r := range u.args {
				u.args[r] = nowhere
			}
			c.uses.alone[n] = u
		}
		if u := c.uses.alone[n]; u != nil {
			of[n] = append(of[n], u)
		}
		flow.done[n] = true
		for _, u := range of[n] {
			flow.run(u)
		}
	}
	for _, n := range c.order {
		for _, u := range of[n] {
			c.spreadReads(u)
		}
	}
}

// spreadReads computes the slots that are read from each instruction of a function
// on.
func (c *checker) spreadReads(u *stackUse) {
	f := &c.funcs[u.fn]
	for _, i := range f.postorder {
		if to := c.uses.called[i]; to != nil && to.fn != noFunction {
			start := c.funcs[to.fn].Start
			for n := 1; n < len(to.frames); n++ {
				if entry := to.at(c, n, start); entry != nil {
					use := u.note(c, n-1, int(i))
					use.read = use.read.or(entry.live)
				}
			}
		}
	}
	var buf [2]int
	for _, uses := range u.frames {
		for changed := uses != nil; changed; {
			changed = false
			for _, i := range f.postorder {
				var live halves
				for _, s := range c.successors(int(i), &buf) {
					live = live.or(uses[s-f.Start].live)
				}
				use := &uses[int(i)-f.Start]
				if live = live.andNot(use.written).or(use.read); live != use.live {
					use.live, changed = live, true
				}
			}
		}
	}
}

// useOf gives the uses of a frame's function, or nil where they are not known.
func (c *checker) useOf(f *frame) *stackUse {
	u := c.uses.alone[f.fn]
	if f.callsite >= 0 && c.uses.called[f.callsite] != nil {
		u = c.uses.called[f.callsite]
	}
	if u == nil || u.fn != f.fn {
		return nil
	}
	return u
}

// liveSlots gives the slots of a frame's stack that are read later: by the running
// function, or after the calls that led there.
func (c *checker) liveSlots(s *state, frame int) (live halves) {
	top := len(s.frames) - 1
	for n := frame; n <= top; n++ {
		u := c.useOf(s.frames[n])
		if u == nil {
			return allHalves
		}
		insn := s.insn
		if n < top {
			// A call of callbacks may call again.
			if insn = s.frames[n+1].callsite; !c.aux[insn].callsCallback {
				insn++
			}
		}
		if use := u.at(c, n-frame, insn); use != nil {
			live = live.or(use.live)
		}
	}
	return live
}

// cleanStack forgets slots that are not read any more.
func (c *checker) cleanStack(s *state, frame int) {
	f := s.frames[frame]
	if len(f.stack) == 0 {
		return
	}
	live := c.liveSlots(s, frame)
	for i := range f.stack {
		upper, lower := live.has(2*i), live.has(2*i+1)
		if !c.since(7, 1) { // Linux looked at whole slots
			upper = upper || lower
			lower = upper
		}
		if sl := &f.stack[i]; !upper || !lower {
			sl.forget(upper, lower, c.since(7, 0))
		}
	}
}

// forget makes unknown what is not needed of a slot: its upper or its lower half. A
// state that goes on keeps objects, since overwriting them has consequences.
func (s *slot) forget(upper, lower, goesOn bool) {
	switch s.kind[0] {
	case slotDynptr, slotIter, slotIRQFlag:
		if goesOn || upper || lower {
			return
		}
	}
	if !lower {
		if upper && s.isSpill() {
			// Half a pointer must not be read as a number; and zero is known to be zero
			// only as long as it is precise.
			if s.reg.Type != Scalar || s.reg.IsConst() && s.reg.Bits.Value == 0 {
				return
			}
			for i := 4; i < 8; i++ {
				if s.kind[i] == slotSpill {
					s.kind[i] = slotMisc
				}
			}
		}
		s.reg = nil
		clear(s.kind[:4])
	}
	if !upper {
		clear(s.kind[4:])
	}
}

// readsUnknown says of a call that it reads no one knows how much from an argument on.
const readsUnknown = math.MinInt

// noteAccess notes that an instruction reads size bytes through a pointer, writes
// -size bytes, or readsUnknown.
func (c *checker) noteAccess(u *stackUse, insn int, w where, size int) {
	switch {
	case size == 0 || w.kind < whereFrame:
		return
	case w.kind == whereSome:
		for m := w.frames & (2<<u.depth - 1); m != 0; m &= m - 1 {
			u.note(c, bits.TrailingZeros8(m), insn).read = allHalves
		}
		return
	case w.n == 0:
		if size > 0 || size == readsUnknown {
			u.note(c, int(w.frame), insn).read = allHalves
		}
		return
	}
	use := u.note(c, int(w.frame), insn)
	for _, o := range w.off[:w.n] {
		off := int(o)
		switch {
		case off >= 0: // refused later
		case size == readsUnknown:
			use.read = use.read.or(span(0, (-off-1)/4))
		case size > 0:
			use.read = use.read.or(span((-off-size)/4, (-off-1)/4))
		case w.n == 1: // halves that are written whole
			use.written = use.written.or(span((-off+size+3)/4, -off/4-1))
		}
	}
}
