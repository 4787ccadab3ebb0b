package interp

import (
	"slices"

	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/exec"
)

// Step is a checked run before one of its instructions. It is valid until the
// function that it was given to returns.
type Step struct {
	Insn  int
	State *exec.State
	// Depth is how many frames lie below the running function's, Base how many
	// below that in which the program began.
	Depth, Base int

	m *machine
}

// Reg gives a register of the frame at a depth, and where it came from. Of
// callers, R6 to R9 are kept.
func (s Step) Reg(depth int, n uint8) (uint64, exec.Prov) {
	if depth == s.Depth {
		return s.m.reg[n], s.m.prov[n]
	}
	f := &s.m.frames[depth+1]
	return f.saved[n-isa.R6], f.prov[n-isa.R6]
}

// Slot gives the 8 bytes at an offset from the frame pointer of the frame at a
// depth, both multiples of 8, and where they came from.
func (s Step) Slot(depth, off int) (uint64, exec.Prov) {
	at := s.FP(depth) + uintptr(off)
	return *(*uint64)(mem.At(at)), s.m.shadow[(at-s.State.Stack())/8]
}

// FP is the frame pointer of the frame at a depth.
func (s Step) FP(depth int) uintptr { return s.State.Stack() + uintptr(depth+1)*isa.StackSize }

// trace makes the checked loop stop before each op. The fast one may share ops.
func (p *Program) trace() {
	p.ops, p.codes = slices.Clone(p.ops), make([]uint8, len(p.ops))
	for i := range p.ops {
		p.codes[i], p.ops[i].code = p.ops[i].code, codeTraced
	}
}

// traced tells of an op that is about to run, and gives its form.
func (m *machine) traced(o *op) uint8 {
	i := m.index(o)
	m.prog.in.Trace(Step{Insn: i, State: m.state, Depth: m.depth, Base: m.frames[m.depth].base, m: m})
	return m.prog.codes[i]
}
