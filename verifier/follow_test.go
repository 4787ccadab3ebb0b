package verifier

import (
	"fmt"
	"slices"
	"strings"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/exec"
)

// RunStep is a run before one of its instructions: what interp.Step is, which this
// package's own tests cannot import.
type RunStep struct {
	Insn, Depth, Base int
	State             *exec.State
	Frames
}

// Frames are the registers and stacks of a run, by the depth of the frame.
type Frames interface {
	Reg(depth int, n uint8) (uint64, exec.Prov)
	Slot(depth, off int) (uint64, exec.Prov)
	FP(depth int) uintptr
}

// Follower follows one run through walks. It keeps the nodes at which the run may be:
// of those that follow the nodes at which it was before the last instruction, the
// ones whose instruction is the run's and that contain what the run has. A run that
// is at none was not foreseen: the walk left out a way or knew something wrong.
//
// What a node must contain depends on the walk. Where every number counts, a state
// contains all that it covers, and then all that comes of it, so that all must be
// contained at each node. Otherwise a path may have ended at a state that covers it
// only as far as safety depends on it, and runs go on with numbers that the walk
// never saw. What must hold is then what was found to matter: at kept states, the
// numbers that are precise; at each node, where pointers lead and which bytes of the
// stack are 0. The way itself tells of the numbers that conditions depend on.
//
// The zero Follower is before a run.
type Follower struct {
	progs []followed // a program that was called by tail from a function is above its caller
}

// followed is one program that runs.
type followed struct {
	walk *Walk
	base int // depth of its first frame
	at   []*node
}

// Step goes on to the instruction that the run of a walk's program is about to
// execute.
func (f *Follower) Step(w *Walk, s RunStep) error {
	for len(f.progs) > 0 && f.top().base > s.Base {
		f.progs = f.progs[:len(f.progs)-1]
	}
	switch {
	case len(f.progs) == 0 || f.top().base < s.Base:
		f.progs = append(f.progs, followed{w, s.Base, nil})
		return f.begin(s)
	case f.top().tailCalled(w, s):
		*f.top() = followed{w, s.Base, nil}
		return f.begin(s)
	}
	p := f.top()
	var ahead []*node
	for _, n := range p.at {
		ahead = n.ahead(w.c, ahead)
	}
	return p.goOn(ahead, s)
}

func (f *Follower) top() *followed { return &f.progs[len(f.progs)-1] }

func (f *Follower) begin(s RunStep) error {
	p := f.top()
	return p.goOn(p.walk.nodes[:1], s)
}

// tailCalled reports whether the step is the first one of a program that took the
// place of p.
func (p *followed) tailCalled(w *Walk, s RunStep) bool {
	last := &p.walk.c.insns[p.at[0].insn]
	return s.Insn == 0 && (p.walk != w || last.IsCall(isa.CallHelper) && last.Imm == helperTailCall)
}

// ahead adds the nodes at which a run may be after one instruction. The walk has steps
// that a run does not make: from the end of a callback to the call that called it, and
// to an instruction once more, after what it works on was split into cases.
func (n *node) ahead(c *checker, to []*node) []*node {
	ins := &c.insns[n.insn]
	returns := n.frames[len(n.frames)-1].callback && isExit(ins)
	splits := ins.Class() == isa.ClassALU || ins.Class() == isa.ClassALU64
	for _, m := range n.next {
		switch {
		case returns, splits && m.insn == n.insn:
			to = m.ahead(c, to)
		case !slices.Contains(to, m):
			to = append(to, m)
		}
	}
	return to
}

func isExit(ins *isa.Instruction) bool { return ins.Op == isa.ClassJMP|isa.JmpEXIT }

// goOn keeps those of the nodes ahead at which the run is.
func (p *followed) goOn(ahead []*node, s RunStep) error {
	was := -1
	if len(p.at) > 0 {
		was = p.at[0].insn
	}
	if why := p.walk.refuted(was, s); why != "" {
		return fmt.Errorf("before instruction %d, which follows %d: %s", s.Insn, was, why)
	}
	p.at = p.at[:0]
	var reasons []string
	for _, n := range ahead {
		if n.insn != s.Insn {
			continue
		}
		if why := p.walk.outside(n, s); why != "" {
			reasons = append(reasons, why)
			continue
		}
		p.at = append(p.at, n)
	}
	switch {
	case len(p.at) > 0:
		return nil
	case reasons == nil:
		return fmt.Errorf("instruction %d follows %d, as on no path", s.Insn, was)
	}
	return fmt.Errorf("before instruction %d, which follows %d: %s", s.Insn, was, strings.Join(reasons, "; or "))
}
