package interp

import (
	"fmt"

	"github.com/cilium/ebpf/btf"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/verifier"
	"github.com/skep-ebpf/skep/vm/maps"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// Mode selects the loop that runs a program.
type Mode uint8

// The modes.
const (
	Checked Mode = iota // every access is tested
	Fast                // for verified programs; others run checked
)

// Input is what Compile needs of a program.
type Input struct {
	Name string
	Type *progtype.Type
	// Attach is what the program was loaded for (expected_attach_type).
	Attach ebpf.AttachType
	Insns  []isa.Instruction // calls, functions and jumps resolved
	Maps   []maps.Map        // what Imm of a map load is an index into
	// Facts are what the verifier proved of each instruction; nil: it did not see the
	// program, which then runs checked only.
	Facts []verifier.Fact
	// Kfuncs are the kernel functions that instructions call.
	Kfuncs map[int]*btf.Func
	// Exception is the first instruction of the function that an exception goes on
	// in, with its number as the argument; 0: none, and it ends the program.
	Exception int
	// Types are the program's own types, for kernel functions that are told of
	// one. May be nil.
	Types *btf.Spec
	// KernelTypes gives the types of the kernel that the program is for, which say
	// where the fields of a map lie. Optional.
	KernelTypes func() (*btf.Spec, error)
	// Poisoned gives the reason why an instruction must not be reached: a CO-RE
	// relocation that the target has nothing for.
	Poisoned map[int]string
	// Text gives an instruction as a person reads it; nil: cilium/ebpf's form of it.
	Text func(insn int) string
	// Where describes an instruction's source position for a person, such as
	// "firewall.bpf.c:42: if (ip + 1 > end)"; nil or "" where unknown.
	Where func(insn int) string
	// Trace is called before each instruction of a checked run; optional.
	Trace func(Step)
	// Proprietary says that the program's licence is not GPL compatible, and some
	// helpers are not for it.
	Proprietary bool
}

// Fault is a run that was ended because the program did what it must not.
type Fault struct {
	Prog   string
	Insn   int    // index of the instruction
	Text   string // the instruction
	Where  string // source position, may be empty
	Reason string
}

func (f *Fault) Error() string {
	msg := fmt.Sprintf("program %s, instruction %d (%s): %s", f.Prog, f.Insn, f.Text, f.Reason)
	if f.Where != "" {
		msg += "\n  at " + f.Where
	}
	return msg
}
