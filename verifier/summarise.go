package verifier

import (
	"bytes"
	"maps"
	"slices"

	"github.com/skep-ebpf/skep/isa"
)

// Linux follows a loop turn by turn. Of a program for "any" kernel, loops are first
// summarised: where a turn comes back to the loop's head, numbers that differ from the
// turn before are widened to intervals that the loop does not leave, so that a few
// turns stand for all. This is the same walk, and safe for the same reason: each state
// in which the program may be at an instruction lies in one of the states followed
// from there. Two things differ:
//
//   - Every number is precise. What covers a state covers each of its numbers, also
//     while the paths from the covering state are still followed: whatever happens
//     behind the covered state happens behind the covering one.
//   - A state that comes back does not show that a loop ends, or that it does not. That
//     is proved apart, see [checker.terminates].
//
// Where this comes to no good end, the program is walked as Linux does.

// summaryBudget is how many instructions are looked at to summarise a program.
const summaryBudget = 20_000

// summary is what a walk that summarises loops needs.
type summary struct {
	// order numbers the instructions of each function so that on each way round a loop
	// one comes behind a greater or equal number. The next one is the loop's head.
	order []int32
	// rests are the numbers that a loop compares with, where growing intervals rest.
	rests    map[int32][]uint64
	advances map[int]*advance
}

// summarisable reports whether there are loops, and none that end for other reasons
// than what they count.
func (c *checker) summarisable() bool {
	if c.opts.Kernel != "any" || c.opts.Lacks != 0 || c.trails {
		return false
	}
	loops := false
	for i := range c.aux {
		if c.aux[i].iterNext || isMayGoto(&c.insns[i]) {
			return false
		}
		loops = loops || c.aux[i].loop != 0 && !c.aux[i].callsCallback
	}
	return loops
}

// summarise verifies the program with its loops summarised: what it gives goes on in
// place of c; nil where the program must be walked.
func (c *checker) summarise() *checker {
	t := *c
	t.aux, t.funcs, t.kfuncs = slices.Clone(c.aux), slices.Clone(c.funcs), maps.Clone(c.kfuncs)
	t.result = new(Result)
	var log bytes.Buffer
	if c.log != nil {
		t.log = newLogger(&log)
	}
	t.summary = newSummary(&t)
	err := t.walkAll()
	c.types = t.types // what was found of types stays the same
	if err != nil || !t.terminates() {
		return nil
	}
	if c.log != nil {
		if _, err := c.log.w.Write(log.Bytes()); err != nil {
			return nil
		}
		t.log = c.log
	}
	return &t
}

// newSummary finds the heads of loops.
func newSummary(c *checker) *summary {
	s := &summary{order: make([]int32, len(c.insns)), rests: map[int32][]uint64{}, advances: map[int]*advance{}}
	for n := range c.funcs {
		for at, i := range c.funcs[n].postorder {
			s.order[i] = int32(at)
		}
	}
	var buf [2]int
	for i := range c.aux {
		loop := c.aux[i].loop
		if loop == 0 {
			continue
		}
		s.rests[loop] = appendRests(s.rests[loop], &c.insns[i])
		for _, next := range c.successors(i, &buf) {
			if s.returns(c, i, next) {
				c.aux[next].prune, c.aux[next].force = true, true
			}
		}
	}
	return s
}

// returns reports whether going from one instruction to another ends a turn.
func (s *summary) returns(c *checker, from, to int) bool {
	return from >= 0 && c.aux[to].loop != 0 && c.aux[from].loop == c.aux[to].loop && s.order[from] <= s.order[to]
}

// appendRests adds the numbers at and beside what an instruction compares with.
func appendRests(rests []uint64, ins *isa.Instruction) []uint64 {
	_, compares := isJump(ins)
	masks := (ins.Class() == isa.ClassALU || ins.Class() == isa.ClassALU64) && ins.Op&0xf0 == isa.AluAND
	if !compares && !masks || ins.Op&isa.SrcX != 0 {
		return rests
	}
	k := uint64(int64(ins.Imm))
	rests = append(rests, k-1, k, k+1)
	if ins.Imm < 0 { // as 32 bits
		k = uint64(uint32(ins.Imm))
		rests = append(rests, k-1, k, k+1)
	}
	return rests
}

// tighten moves the bounds of a state's numbers to multiples of what they are known to
// be multiples of, so that a counter with a step greater than 1 comes to rest.
func tighten(s *state) {
	s.eachReg(func(_ *frame, r *Reg) {
		if r.Type == Scalar {
			r.Tighten()
		}
	})
}

// widen makes of the current state, at the end of a turn, one that contains the state
// that the turn began with as well.
func (s *summary) widen(c *checker) {
	if !s.returns(c, c.prev, c.insn) {
		return
	}
	old := c.prevEntry(c.st, c.insn)
	if old == nil {
		return
	}
	rests := s.rests[c.aux[c.insn].loop]
	pairs(old, c.st, func(a, b *Reg) *Reg {
		if b.Within(&a.Value) { // what does not grow, others are compared with
			rests = append(rests, a.UMin-1, a.UMin, a.UMax-1, a.UMax, a.UMax+1)
		}
		return b
	})
	pairs(old, c.st, func(a, b *Reg) *Reg {
		if *a == *b {
			return b
		}
		return &Reg{Type: Scalar, Value: b.Widen(&a.Value, rests)}
	})
	c.log.widened(c)
}

// pairs replaces each number of a state, given with what another has in its place.
func pairs(old, s *state, replace func(old, r *Reg) *Reg) {
	for n, f := range s.frames {
		g := old.frames[n]
		for i := range f.regs {
			if g.regs[i].Type == Scalar && f.regs[i].Type == Scalar {
				f.regs[i] = *replace(&g.regs[i], &f.regs[i])
			}
		}
		for i := range min(len(f.stack), len(g.stack)) {
			a, b := &g.stack[i], &f.stack[i]
			if a.isSpill() && a.kind == b.kind && a.reg.Type == Scalar && b.reg.Type == Scalar {
				b.reg = replace(a.reg, b.reg)
			}
		}
	}
}
