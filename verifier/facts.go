package verifier

import (
	"fmt"
	"strings"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/verifier/scalar"
)

// Fact is what was proved of an instruction of an accepted program, whichever way
// it is reached.
type Fact struct {
	// Reached says that some path reaches it. What is not reached is dead.
	Reached bool
	// Jumps and Passes say of a conditional jump that some path takes it, or goes
	// on behind it.
	Jumps, Passes bool
	// Access is what a load or store goes through; NotInit where it is none, or
	// not reached, or through different things on different paths.
	Access RegType
	Flags  RegFlags
	// Memory is what a load or store reaches, as far as an engine must tell one from
	// another, whichever way it is reached.
	Memory Memory
	// Offset is, of an access of the context, how many bytes behind the context's
	// start the register points; [VaryingOffset] where that is not one number.
	Offset int32
	// Kernel are the registers R1 to R5 of a call, a bit each (1 << isa.R1 ..), that may
	// point to memory which is not there, as MemKernel.
	Kernel uint8
	// Uninit are, of a function's first instruction, the words of its frame of which
	// bytes may be read that nothing was stored to: bit i for the 8 bytes at
	// R10 - 8*(i+1).
	Uninit uint64
	// Number is what a number can be that the instruction leaves in the register that
	// it writes; nil where it is no number, or that is not known. Without
	// [Options].Numbers it is only known of some that are always the same: those that
	// follow from constants in the program and from the contents of frozen maps.
	Number *scalar.Value
	// Map is the index in the image's Maps of the one map that a helper is called
	// with; -1 where it is none, or several, or one that another map holds.
	Map int
	// Maps are the indices of some of them where there are several.
	Maps []int
}

// Facts about each instruction of the program.
func (c *checker) facts() []Fact {
	index := make(map[*Map]int, len(c.maps))
	for i, m := range c.maps {
		index[m] = i
	}
	var results []result
	if c.opts.Numbers {
		results = c.numbers()
	}
	facts := make([]Fact, len(c.insns))
	for i := range facts {
		aux, f := &c.aux[i], &facts[i]
		*f = Fact{
			Reached: aux.seen, Jumps: aux.went&wentJump != 0, Passes: aux.went&wentOn != 0,
			Map: -1, Number: aux.number,
		}
		if !aux.accessMany {
			f.Access, f.Flags = aux.access.Type, aux.access.Flags
		}
		f.Memory, f.Offset, f.Kernel = aux.memory, aux.access.off, aux.kernel
		if c.passesKernel {
			if aux.passed&passedAccess != 0 {
				f.Memory = MemMixed
			}
			f.Kernel |= aux.passed &^ passedAccess
		}
		if at, ok := index[aux.mapPtr]; ok && !aux.mapMany {
			f.Map = at
		}
		if aux.mapMany {
			for _, m := range append(aux.mapsToo[:], aux.mapPtr) {
				if at, ok := index[m]; ok {
					f.Maps = append(f.Maps, at)
				}
			}
		}
		if results != nil && results[i].seen && !results[i].other {
			f.Number = &results[i].Value
		}
	}
	for i := range c.funcs {
		facts[c.funcs[i].Start].Uninit = c.funcs[i].uninit
	}
	return facts
}

// Where paths go on behind an instruction: values of insnAux.went.
const (
	wentOn   = 1 << iota // to the next
	wentJump             // elsewhere
)

// went notes that a path that processors take goes from one instruction to another.
func (c *checker) went(from, to int) {
	if from < 0 || c.st.speculative {
		return
	}
	if to == from+1 {
		c.aux[from].went |= wentOn
	} else {
		c.aux[from].went |= wentJump
	}
}

// Describe says in words what a fact tells of an instruction; "" where it is
// nothing that the instruction does not show.
func (f *Fact) Describe(ins isa.Instruction, maps []string) string {
	var said []string
	switch {
	case !f.Reached:
		return "never reached"
	case isCondition(ins) && !f.Passes:
		said = append(said, "always jumps")
	case isCondition(ins) && !f.Jumps:
		said = append(said, "never jumps")
	}
	if f.Access != NotInit {
		said = append(said, "through "+strings.TrimSuffix(typeName(f.Access, f.Flags), "_"))
	}
	if f.Map >= 0 {
		said = append(said, fmt.Sprintf("always map %s", maps[f.Map]))
	}
	if f.Number != nil {
		if n := numberText(f.Number); n != "" {
			said = append(said, n)
		}
	}
	return strings.Join(said, ", ")
}

// numberText is a number that says something; "" where it may be any.
func numberText(v *scalar.Value) string {
	if v.IsConst() {
		return "always " + signedText(int64(v.Bits.Value))
	}
	return strings.Join(rangesText(v), " ")
}

// isCondition reports whether an instruction is a conditional jump.
func isCondition(ins isa.Instruction) bool {
	if cl := ins.Class(); cl != isa.ClassJMP && cl != isa.ClassJMP32 {
		return false
	}
	switch ins.Op & 0xf0 {
	case isa.JmpJA, isa.JmpCALL, isa.JmpEXIT:
		return false
	}
	return true
}
