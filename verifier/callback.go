package verifier

import "github.com/skep-ebpf/skep/isa"

// pushCallback puts the paths aside that go through a callback of the call at c.insn, and
// lets the current one go on as if it was not called (or no more). set fills the callee's
// arguments, and its callbackRange where that is not 0 to 1 (of asynchronous
// callbacks: 0). Asynchronous callbacks begin a stack of their own.
func (c *checker) pushCallback(ins *isa.Instruction, fn int, set func(caller, callee *frame) error) error {
	caller := c.st.cur()
	c.funcs[fn].callback = true
	if c.callbackOf(c.insn) == callbackAsync {
		return c.pushAsync(ins, fn, set)
	}
	s, err := c.push(c.funcs[fn].Start, false)
	if err != nil {
		return err
	}
	f, err := c.pushFrame(s, fn, c.insn)
	if err != nil {
		return err
	}
	f.callback, f.callbackRange = true, returnRange{min: 0, max: 1}
	if err := set(caller, f); err != nil {
		return err
	}
	s.unrollDepth++
	s.frames[len(s.frames)-2].callbackDepth++
	caller.callbackDepth = 0
	return nil
}

// pushAsync is pushCallback of calls that run the function later.
func (c *checker) pushAsync(ins *isa.Instruction, fn int, set func(caller, callee *frame) error) error {
	if len(c.pending) >= complexityLimitPending {
		return c.fail(CauseTooComplex, "The sequence of %d jumps is too complex for async cb.", len(c.pending)+1)
	}
	c.funcs[fn].async = true
	start := c.funcs[fn].Start
	f := c.newFrame(0, fn, -1)
	f.async = true
	f.asyncEntries = c.st.cur().asyncEntries + 1
	s := &state{
		branches: 1, first: start, last: -1, frames: []*frame{f},
		// Timers run in interrupts; work queues and task work may sleep.
		sleepable: !ins.IsCall(isa.CallHelper),
	}
	c.pending = append(c.pending, branch{s, start, c.insn})
	return set(c.st.cur(), f)
}
