package interp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/helper"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// ErrBudget is the error of a run that used up State.Budget.
var ErrBudget = errors.New("instruction budget used up")

// Program is a compiled program. It does not change; any number of states may
// run it at the same time.
type Program struct {
	in Input

	ops []op // for the checked loop
	// fast is ops with accesses converted that are no plain ones; nil without facts,
	// and then only the checked loop runs the program.
	fast []op

	helpers []*helper.Helper // what CallHelper's off is an index into
	provs   []exec.Prov      // what LddwPointer's off is an index into
	traps   []string         // why Trap's off must not be reached
	trapped []int            // instructions that must not be reached, whatever the verifier found
	arena   *arena
	targets []bool  // the instructions that jump tables lead to; nil without gotox
	codes   []uint8 // of ops, where those are Traced
}

// Name is the program's name.
func (p *Program) Name() string { return p.in.Name }

// Type is the program's type.
func (p *Program) Type() *progtype.Type { return p.in.Type }

// Kind is the program's type and what it was loaded for: what maps that hold
// programs ask of them.
func (p *Program) Kind() (ebpf.ProgramType, ebpf.AttachType) { return p.in.Type.Prog, p.in.Attach }

// Run executes the program on a state that the type's Setup made ready, and
// gives its R0. An error is a [*Fault] where the program did what it must not,
// or is [ErrBudget] or that of State.Context where the run was ended.
func (p *Program) Run(s *exec.State, mode Mode) (uint64, error) {
	return machineOf(s).run(s, p, mode)
}

// machineOf is the machine that runs programs on a state.
func machineOf(s *exec.State) *machine {
	m, ok := s.Interp.(*machine)
	if !ok {
		m = newMachine()
		s.Interp = m
	}
	return m
}

// entry is the op where a run begins.
func (p *Program) entry(checked bool) *op {
	if checked {
		return &p.ops[0]
	}
	return &p.fast[0]
}

// text is an instruction as a person reads it.
func (in *Input) text(i int) string {
	if in.Text != nil {
		return in.Text(i)
	}
	raw := isa.Encode(in.Insns[i : i+1])
	if in.Insns[i].IsWide() && i+1 < len(in.Insns) {
		raw = isa.Encode(in.Insns[i : i+2])
	}
	var ins asm.Instruction
	if err := ins.Unmarshal(bytes.NewReader(raw), binary.LittleEndian, "linux"); err != nil {
		return fmt.Sprintf("% x", raw)
	}
	return fmt.Sprint(ins)
}
