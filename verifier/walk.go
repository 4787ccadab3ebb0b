package verifier

import (
	"errors"

	"github.com/skep-ebpf/skep/isa"
)

// maxProcessed is how many instructions Linux looks at (BPF_COMPLEXITY_LIMIT_INSNS).
const maxProcessed = 1_000_000

// errPathEnds tells the walk that a path is done: the program left, or an equal
// state was seen.
var errPathEnds = errors.New("path ends")

// errJumped tells the walk that c.insn is the next instruction already.
var errJumped = errors.New("jumped")

// walkAll verifies the main program and the global functions that it reaches.
func (c *checker) walkAll() error {
	if c.watch != nil {
		c.watch.begin()
	}
	if err := c.enter(0); err != nil {
		return err
	}
	if err := c.walk(); err != nil {
		return err
	}
	if err := c.walkGlobals(); err != nil {
		return err
	}
	return c.checkStack()
}

// walk follows all paths from the current state.
func (c *checker) walk() error {
	c.log.begin(c)
	for {
		err := c.path()
		c.log.flush()
		if err != errPathEnds {
			return err
		}
		c.pathDone()
		if len(c.pending) == 0 {
			return nil
		}
		b := c.pending[len(c.pending)-1]
		c.pending = c.pending[:len(c.pending)-1]
		c.st, c.insn, c.prev = b.st, b.insn, b.prev
		c.log.resume(c)
		if c.results != nil { // of an instruction with several results
			c.noteResult(c.prev, len(c.st.frames)-1)
		}
	}
}

// path follows one path until it ends.
func (c *checker) path() error {
	for {
		if c.insn >= len(c.insns) {
			return c.fail(CauseControlFlow, "invalid insn idx %d insn_cnt %d", c.insn, len(c.insns))
		}
		if c.processed++; c.processed > c.budget() {
			return c.fail(CauseTooComplex, "BPF program is too large. Processed %d insn", c.processed)
		}
		c.recorded = false
		c.went(c.prev, c.insn)
		c.st.last, c.st.insn = c.prev, c.insn
		aux := &c.aux[c.insn]
		if aux.prune {
			covered, err := c.visited()
			if err != nil {
				return err
			}
			if covered {
				c.log.covered(c)
				return errPathEnds
			}
		}
		if aux.jump {
			c.record(0, 0, 0, 0)
		}
		aux.seen = true
		if c.st.speculative && aux.nospec {
			return errPathEnds
		}
		c.log.before(c)
		if c.watch != nil {
			c.watch.step(c)
		}
		if c.summary != nil {
			c.summary.note(c)
		}
		at, depth := c.insn, len(c.st.frames)-1
		switch err := c.step(&c.insns[c.insn]); err {
		case nil:
			c.insn++
		case errJumped:
		default:
			if c.st.speculative && err != errPathEnds && c.speculationMayStop(err) {
				aux.nospec, aux.guard = true, guard{}
				return errPathEnds
			}
			return err
		}
		c.log.after(c)
		if c.results != nil {
			c.noteResult(at, depth)
		}
		if c.trails {
			c.follow(at, depth)
		}
		if c.st.speculative && aux.nospecResult {
			return errPathEnds
		}
		c.prev = at
	}
}

func (c *checker) budget() int {
	most := maxProcessed
	if c.opts.Budget > 0 {
		most = c.opts.Budget
	}
	if c.summary != nil {
		most = min(most, summaryBudget)
	}
	return most
}

// speculationMayStop reports whether a refusal on a speculative path is mended by
// a barrier before the instruction.
func (c *checker) speculationMayStop(err error) bool {
	var e *Error
	return c.since(6, 17) && errors.As(err, &e) && e.Cause != CauseTooComplex && e.Cause != CauseUnsupported
}

// step looks at one instruction.
func (c *checker) step(ins *isa.Instruction) error {
	switch ins.Op & 7 {
	case isa.ClassALU, isa.ClassALU64:
		return c.alu(ins)
	case isa.ClassLDX:
		return c.load(ins)
	case isa.ClassST:
		return c.storeImm(ins)
	case isa.ClassSTX:
		if ins.Op&0xe0 == isa.ModeATOMIC {
			return c.atomic(ins)
		}
		return c.storeReg(ins)
	case isa.ClassLD:
		if ins.Op == isa.OpLDDW {
			return c.loadImm64(ins)
		}
		return c.loadPacket(ins)
	}
	c.jumps++
	switch op := ins.Op & 0xf0; op {
	case isa.JmpCALL:
		if err := c.callAllowed(ins); err != nil {
			return err
		}
		c.noteArguments()
		switch ins.Src {
		case isa.CallLocal:
			return c.callFunction(ins)
		case isa.CallKfunc:
			return c.callKfunc(ins)
		}
		return c.callHelper(ins)
	case isa.JmpEXIT:
		return c.exit(ins)
	case isa.JmpJA:
		return c.jumpAlways(ins)
	default:
		return c.jumpIf(ins)
	}
}
