package jit

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/helper"
	"github.com/skep-ebpf/skep/vm/interp"
	"github.com/skep-ebpf/skep/vm/jit/abi"
	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// Program is a program as machine code. It does not change; any number of states may
// run it at the same time. The program that it embeds is the same one for the
// interpreter, which runs it where a run is to be checked.
type Program struct {
	*interp.Program

	code       *mem.Code
	free       runtime.Cleanup
	base, size uintptr   // of code
	placed     sync.Once // in a program array
	// The addresses of stubs.
	enter, resume, ret uintptr

	helpers []helper.Func // by the number that an exit has
	main    *function
	funcs   []function // that Go may enter
	lines   []ir.Line  // which instructions the code comes from
	exit    int        // an instruction that ends the program
}

// function is one that Go may enter: the program itself, or what helpers and
// exceptions call.
type function struct {
	insn  int     // its first instruction
	enter uintptr // the program's stub
	addr  uintptr
	stack uintptr // how many bytes of native stack a call takes
	room  uintptr // how far from the stack's first byte it must begin
	cost  int64   // what it takes of the budget
}

// load makes a program's code executable. funcs are what the code was made from,
// helpers what its exits number.
func load(p *interp.Program, code *ir.Code, funcs []*ir.Func, helpers []*helper.Helper) (*Program, error) {
	text, err := mem.NewCode(code.Bytes)
	if err != nil {
		return nil, fmt.Errorf("load machine code of program %s: %w", p.Name(), err)
	}
	at := func(offset uint32) uintptr { return text.Addr() + uintptr(offset) }
	prog := &Program{
		Program: p, code: text, base: text.Addr(), size: uintptr(len(code.Bytes)), lines: slices.Clone(code.Lines),
		enter: at(code.Enter), resume: at(code.Resume), ret: at(code.Return),
	}
	for _, h := range helpers {
		prog.helpers = append(prog.helpers, h.Func)
	}
	in := p.Input()
	prog.exit = slices.IndexFunc(in.Insns, func(ins isa.Instruction) bool { return ins.Op == isa.ClassJMP|isa.JmpEXIT })
	for i, f := range funcs {
		if f.Entered {
			prog.funcs = append(prog.funcs, function{
				insn: f.Entry, enter: prog.enter, addr: at(code.Entries[i]),
				stack: uintptr(code.Stacks[i]), cost: int64(f.Len),
			})
		}
	}
	for i := range prog.funcs {
		f := &prog.funcs[i]
		if f.room = abi.StackReserved + f.stack; f.insn == 0 {
			f.room = abi.StackReserved + max(f.stack, abi.BecomeStack)
			prog.main = f
		}
	}
	prog.free = runtime.AddCleanup(prog, unload, text)
	if err := writeSymbols(prog, code, funcs); err != nil {
		return nil, errors.Join(err, prog.Close())
	}
	return prog, nil
}

// Size is the length of the machine code in bytes.
func (p *Program) Size() int { return len(p.code.Bytes()) }

// Close gives the memory of the machine code back, which otherwise happens when
// nobody knows the program any more. It must not be called while the program runs.
func (p *Program) Close() error {
	p.free.Stop()
	leave(p.code)
	return p.code.Free()
}

// unload is Close for a program that nobody knows any more.
func unload(text *mem.Code) {
	leave(text)
	_ = text.Free() // memory that cannot be unmapped is lost
}

// function is the one that begins at an instruction; nil where none does that Go may
// enter. There are few.
func (p *Program) function(insn int) *function {
	for i := range p.funcs {
		if p.funcs[i].insn == insn {
			return &p.funcs[i]
		}
	}
	return nil
}

// has reports whether the code that ends at an address is the program's.
func (p *Program) has(behind uintptr) bool { return behind-1-p.base < p.size }

// insn is the instruction whose code ends at an address or has it; -1 where that is not
// known.
func (p *Program) insn(behind uintptr) int {
	off := uint32(behind - p.base)
	i, _ := slices.BinarySearchFunc(p.lines, off, func(l ir.Line, off uint32) int { return cmp.Compare(l.Off, off) })
	if i == 0 {
		return -1
	}
	return int(p.lines[i-1].At)
}

// Run executes the program on a state that the type's Setup made ready, and gives its
// R0. An error is a [*interp.Fault] where the program did what it must not, or is
// [interp.ErrBudget] or that of State.Context where the run was ended.
func (p *Program) Run(s *exec.State) (uint64, error) {
	m, err := machineOf(s)
	if err != nil {
		return 0, err
	}
	return m.execute(p, p.main, nil)
}

// Repeat is Run n times, each with a budget, for as long as there is no error. It gives the
// last result.
func (p *Program) Repeat(s *exec.State, n uint32, budget int64) (uint64, error) {
	m, err := machineOf(s)
	if err != nil {
		return 0, err
	}
	return m.repeat(p, n, budget)
}

// later is a function of a program that is called after the run that named it.
type later struct {
	prog *Program
	fn   *function
}

// Program implements [exec.Func].
func (l later) Program() any { return l.prog.Program }

// Run implements [exec.Func].
func (l later) Run(s *exec.State, args func() ([5]uint64, [5]exec.Prov)) (uint64, error) {
	m, err := machineOf(s)
	if err != nil {
		return 0, err
	}
	return m.execute(l.prog, l.fn, args)
}

// stackTop is where the first frame of a native stack begins, from the stack's
// beginning.
const stackTop = abi.StackBytes - 16
