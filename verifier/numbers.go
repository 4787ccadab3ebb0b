package verifier

import "github.com/skep-ebpf/skep/verifier/scalar"

// result is what is known of the results of an instruction, on all paths so far.
type result struct {
	scalar.Value
	seen  bool
	other bool // some result is no number
}

// numbers walks the program once more with every number precise, so that what was
// not followed further has no other numbers than what was, and gives what each
// instruction can leave in the register that it writes; nil where that takes too
// long.
func (c *checker) numbers() []result {
	t, err := newChecker(c.img, c.specs, c.opts)
	if err != nil {
		return nil
	}
	t.log = nil
	if t.prepare() != nil {
		return nil
	}
	t.summary = newSummary(t)
	t.results = make([]result, len(t.insns))
	if t.walkAll() != nil {
		return nil
	}
	return t.results
}

// noteResult adds what an instruction left in the register that it writes.
func (c *checker) noteResult(insn, frame int) {
	if insn < 0 {
		return
	}
	reg, ok := c.insns[insn].Writes()
	if !ok || frame >= len(c.st.frames) {
		return
	}
	n := &c.results[insn]
	switch r := &c.st.frames[frame].regs[reg]; {
	case r.Type != Scalar:
		n.other = true
	case !n.seen:
		n.Value, n.seen = r.Value, true
	default:
		n.Value.Join(&r.Value)
	}
}
