package program

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/isa"
)

// Image is one program ready for a machine.
type Image struct {
	Name     string
	Type     ebpf.ProgramType
	Attach   ebpf.AttachType
	AttachTo string
	Section  string
	License  string // "GPL", "Dual BSD/GPL"
	Flags    uint32

	// Insns is the entry function and behind it every function that it reaches.
	// Jumps and calls between functions are resolved. Imm of a map load
	// (isa.PseudoMapFD, isa.PseudoMapValue) is an index into Maps.
	Insns []isa.Instruction
	// Funcs are the functions by their first instruction; the entry is Funcs[0].
	Funcs []Function
	// Exception is the first instruction of the function that bpf_throw calls; 0:
	// none.
	Exception int
	// Lines are the source lines by their first instruction; may be empty.
	Lines []Line
	// Maps are the names of the maps that Insns refers to, in the spec or in Data.
	Maps []string
	// Data are maps that linking made, by their names: ".kconfig".
	Data map[string]*ebpf.MapSpec
	// Kfuncs are the calls of kernel functions, by instruction.
	Kfuncs map[int]*btf.Func
	// Types are the types of the program's object, for kernel functions that are
	// told of one by its id; nil without BTF.
	Types *btf.Spec
	// KernelTypes are the types that CO-RE relocations aimed at; nil where the
	// program has none.
	KernelTypes *btf.Spec
	// Poisoned says why an instruction must not be reached, by instruction: a
	// CO-RE relocation for which the target has no counterpart, or a weak extern
	// that it lacks.
	Poisoned map[int]string
}

// Proprietary reports whether the program's licence is none that Linux takes for
// GPL compatible.
func (i *Image) Proprietary() bool {
	switch i.License {
	case "GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL":
		return false
	}
	return true
}

// Function is one function of an Image.
type Function struct {
	Name  string
	Start int       // its first instruction
	Type  *btf.Func // nil without BTF
}

// Line is a place in the source, true from instruction Start on.
type Line struct {
	Start  int
	File   string
	Number int // from 1
	Column int
	Text   string
}
