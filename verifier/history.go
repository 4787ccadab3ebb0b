package verifier

// step is one instruction of a path's history. The history is what precision is
// tracked back along: jumps, so that the path is known, and what an instruction did
// to the stack.
type step struct {
	insn, prev int32
	flags      uint8
	frame      uint8 // of stepStack: whose stack
	slot       uint8 // of stepStack
	linked     linkedRegs
}

// Flags of a step.
const (
	stepStack    = 1 << iota // loads or stores the slot of the frame's stack
	stepDstStack             // compares, and the destination register points to the stack
	stepSrcStack             // compares, and the source register does
)

// linkedRegs are registers and spilled registers that held the same number when a
// comparison told something of it: what makes one of them precise makes all of them.
// The low four bits count; each entry takes ten bits.
type linkedRegs uint64

// add notes a register, or a spilled one by its slot; false where there is no room.
func (l *linkedRegs) add(frame int, spilled bool, n, room int) bool {
	count := l.count()
	if count == room {
		return false
	}
	entry := linkedRegs(frame)<<7 | linkedRegs(n)
	if spilled {
		entry |= 1 << 6
	}
	*l |= entry << (4 + 10*count)
	*l++
	return true
}

// count is how many registers there are.
func (l linkedRegs) count() int { return int(l & 0xf) }

// at gives a register by its position.
func (l linkedRegs) at(i int) (frame int, spilled bool, n int) {
	entry := l >> (4 + 10*i)
	return int(entry >> 7 & 7), entry&(1<<6) != 0, int(entry & 0x3f)
}

// record appends the current instruction to the path's history, or adds to what is
// recorded of it already.
func (c *checker) record(flags, frame, slot uint8, linked linkedRegs) {
	if c.recorded {
		s := &c.st.history[len(c.st.history)-1]
		s.flags |= flags
		s.frame, s.slot, s.linked = frame, slot, linked
		return
	}
	c.recorded = true
	c.st.history = append(c.st.history, step{int32(c.insn), int32(c.prev), flags, frame, slot, linked})
}
