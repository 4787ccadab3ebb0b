// Package engine is the choice of what runs a program: machine code, or one of the
// interpreter's loops.
package engine

import (
	"fmt"
	"time"

	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/interp"
	"github.com/skep-ebpf/skep/vm/jit"
)

// Mode is how programs are executed.
type Mode uint8

// The modes.
const (
	// Auto is JIT where the system has it, and Fast elsewhere.
	Auto Mode = iota
	// JIT is machine code. Programs are refused where the system has none
	// ([jit.Available]).
	JIT
	// Fast is the interpreter, which relies on the verifier as machine code does.
	Fast
	// Checked is the interpreter, which holds every access against the memory that
	// its pointer came from. A program that nothing was proved of always runs so.
	Checked
)

var names = map[Mode]string{Auto: "auto", JIT: "jit", Fast: "fast", Checked: "checked"}

func (m Mode) String() string { return names[m] }

// ParseMode is the inverse of String.
func ParseMode(s string) (Mode, error) {
	for m, name := range names {
		if name == s {
			return m, nil
		}
	}
	return 0, fmt.Errorf("engine %s: there is auto, jit, fast and checked", s)
}

// Modes are the modes that this system has, the referee first, without Auto.
func Modes() []Mode {
	if jit.Available() != nil {
		return []Mode{Checked, Fast}
	}
	return []Mode{Checked, Fast, JIT}
}

// Program is a compiled program. It does not change; any number of states may run
// it at the same time.
type Program struct {
	*interp.Program
	native *jit.Program // nil: it is interpreted
	loop   interp.Mode
	took   time.Duration
}

// Options say how a program is compiled.
type Options struct {
	Mode Mode
	// Harden makes machine code as [jit.Options] says, for programs from strangers.
	Harden bool
}

// Compile makes a program runnable. A program without facts is interpreted in any
// mode but JIT, which refuses it.
func Compile(in *interp.Input, opts Options) (*Program, error) {
	mode := opts.Mode
	start := time.Now()
	code, err := interp.Compile(in)
	if err != nil {
		return nil, err
	}
	p := &Program{Program: code, loop: interp.Fast}
	switch {
	case mode == Checked || mode != JIT && !code.Verified():
		p.loop = interp.Checked
	case mode == JIT || mode == Auto && jit.Available() == nil:
		start = time.Now()
		if p.native, err = jit.Compile(code, jit.Options{Harden: opts.Harden}); err != nil {
			return nil, err
		}
	}
	p.took = time.Since(start)
	return p, nil
}

// Run executes the program on a state that the type's Setup made ready, and gives its
// R0. An error is a [*interp.Fault] where the program did what it must not, or is
// [interp.ErrBudget] or that of State.Context where the run was ended.
func (p *Program) Run(s *exec.State) (uint64, error) {
	if p.native != nil {
		return p.native.Run(s)
	}
	return p.Program.Run(s, p.loop)
}

// Repeat is Run n times, each with a budget, for as long as there is no error. It gives the
// last result.
func (p *Program) Repeat(s *exec.State, n uint32, budget int64) (r0 uint64, err error) {
	if p.native != nil {
		return p.native.Repeat(s, n, budget)
	}
	for range n {
		s.Budget = budget
		if r0, err = p.Program.Run(s, p.loop); err != nil {
			break
		}
	}
	return r0, err
}

// Native is the program's machine code; nil where it is interpreted.
func (p *Program) Native() *jit.Program { return p.native }

// Took is what compiling took, to machine code or else to what the interpreter runs.
func (p *Program) Took() time.Duration { return p.took }

// Registered is what stands for the program in a program array
// ([maps.RegisterProg]), where other programs of the same engine find it.
func (p *Program) Registered() any {
	if p.native != nil {
		return p.native
	}
	return p.Program
}

// Close frees the machine code, which otherwise happens when nobody knows the program
// any more. It must not be called while the program runs.
func (p *Program) Close() error {
	if p.native == nil {
		return nil
	}
	return p.native.Close()
}
