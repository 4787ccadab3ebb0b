package verifier

import "github.com/skep-ebpf/skep/isa"

// slotKind is what a byte of the stack holds (enum bpf_stack_slot_type).
type slotKind uint8

const (
	slotInvalid slotKind = iota // nothing was stored
	slotSpill                   // part of a spilled register
	slotMisc                    // some number
	slotZero                    // 0
	slotDynptr
	slotIter
	slotIRQFlag
)

// slot is 8 bytes of the stack.
type slot struct {
	kind [8]slotKind // of bytes from the lowest address on
	// reg is the spilled register, or describes the dynptr, iterator or saved
	// interrupt state. It is shared between states: replace it, never change it.
	reg *Reg
	// object tells more of a dynptr, iterator or interrupt flag.
	object slotObject
}

// slotObject describes what a program keeps on the stack and only calls may touch.
type slotObject struct {
	first bool  // the first of the object's slots
	state uint8 // of an iterator: iterActive, iterDrained
	class uint8 // of a saved interrupt state: which kernel function made it
	depth int32 // of an iterator: how often it was asked for the next
}

const (
	iterActive  = 1
	iterDrained = 2
)

// frame is one function's part of a state.
type frame struct {
	regs [11]Reg
	// stack holds the slots below the frame pointer: stack[0] is the bytes
	// fp-8..fp-1, stack[1] fp-16..fp-9. It grows as it is written.
	stack    []slot
	fn       int // the function, an index into checker.funcs
	callsite int // the call instruction; -1: none
	// precise and preciseSlots are the registers and slots that hold numbers on
	// which the safety of what follows depends.
	precise      uint16
	preciseSlots uint64

	callback      bool // called by a helper
	async         bool // runs later, on its own
	exception     bool // the exception callback
	callbackRange returnRange
	callbackDepth int // how often the callback of the frame above was walked
	asyncEntries  int
}

// returnRange are the results that a function may have.
type returnRange struct {
	min, max int64
	ret32    bool // only the lower half counts
}

// refKind is what a reference is to.
type refKind uint8

const (
	refPtr refKind = iota
	refIRQ
	refLock
	refResLock
	refResLockIRQ

	refAnyLock = 1<<refLock | 1<<refResLock | 1<<refResLockIRQ
)

// ref is something acquired that must be released.
type ref struct {
	kind refKind
	id   uint32
	insn int // what acquired it
	// parent is, of a dynptr's reference, that of the object which the dynptr is of; 0: none.
	parent uint32
	lock   any // of locks: the *Map or *Type that the lock is in
}

// state is what is known at one point of one path.
type state struct {
	frames []*frame // frames[len-1] is the running function's
	refs   []ref

	locks       int // spin locks held
	lockID      uint32
	lockIn      any // what the innermost lock is in
	rcu         int // nested RCU read sections
	preempt     int // nested sections without preemption
	irqID       uint32
	sleepable   bool // may sleep, as far as sections allow
	speculative bool // a path that only a mispredicting processor takes

	trail *trail // where checker.trails is set

	// Bookkeeping of the walk.
	parent       *state
	branches     int
	insn         int // the instruction about to be looked at
	first, last  int // the first and last instruction of this state
	history      []step
	depth        int // of the walk
	unrollDepth  int // callback_unroll_depth
	mayGotoDepth int

	// Of kept states.
	older        *state // the one kept before it in the same bucket
	hits, misses int    // how often it covered another, or did not
	evicted      bool   // it is in no bucket any more
	cleaned      bool   // what is not read was forgotten
	visit        *visit // the loop that it is in
	equal        *state // what a back edge's state was found equal to
}

// cur gives the running function's frame.
func (s *state) cur() *frame { return s.frames[len(s.frames)-1] }

// fp is the offset from the frame pointer of a slot's lowest byte.
func fp(slot int) int { return -8 * (slot + 1) }

// slotAt is the index of the slot that the byte at an offset from the frame
// pointer lies in.
func slotAt(off int) int { return (-off - 1) / 8 }

// grow makes the stack reach down to an offset from the frame pointer.
func (f *frame) grow(off int) {
	for n := slotAt(off) + 1; len(f.stack) < n; {
		f.stack = append(f.stack, slot{})
	}
}

// isSpill reports whether a slot holds a spilled register. Numbers may take only its
// lowest bytes.
func (s *slot) isSpill() bool { return s.kind[0] == slotSpill }

// eachReg calls do with every register and every spilled register of the state;
// what do changes is kept.
func (s *state) eachReg(do func(f *frame, r *Reg)) {
	for _, f := range s.frames {
		for i := range f.regs {
			do(f, &f.regs[i])
		}
		for i := range f.stack {
			sl := &f.stack[i]
			if !sl.isSpill() {
				continue
			}
			r := *sl.reg
			if do(f, &r); r != *sl.reg {
				sl.reg = &r
			}
		}
	}
}

// findRef gives the reference of an id, or nil.
func (s *state) findRef(id uint32) *ref {
	for i := range s.refs {
		if s.refs[i].id == id {
			return &s.refs[i]
		}
	}
	return nil
}

// acquire adds a reference and gives its id.
func (c *checker) acquire(kind refKind) uint32 {
	id := c.newID()
	c.st.refs = append(c.st.refs, ref{kind: kind, id: id, insn: c.insn})
	return id
}

// drop removes a reference; false where there is none.
func (s *state) drop(id uint32) bool {
	for i := range s.refs {
		if s.refs[i].id == id && s.refs[i].kind == refPtr {
			s.refs = append(s.refs[:i:i], s.refs[i+1:]...)
			return true
		}
	}
	return false
}

// invalidate makes a register unusable: a number for who may see addresses.
func (c *checker) invalidate(r *Reg) {
	if c.leaks {
		r.setUnknown()
	} else {
		*r = Reg{}
	}
}

// clearPackets makes pointers into the packet stale, after a call that may have
// moved it.
func (c *checker) clearPackets() {
	c.st.eachReg(func(_ *frame, r *Reg) {
		if r.isPacket() || r.Type == PtrToPacketEnd || r.Flags&packetDynptrs != 0 && r.Type != ConstPtrToDynptr {
			c.invalidate(r)
		}
	})
}

// clearCallerSaved makes R0 to R5 unreadable, as a call does.
func (c *checker) clearCallerSaved() {
	f := c.st.cur()
	for i := isa.R0; i <= isa.R5; i++ {
		f.regs[i] = Reg{}
	}
}
