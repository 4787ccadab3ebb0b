package helper

import (
	"sync"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/verifier/kernels"
)

// modelled is the Linux whose helpers the machine has, to the program types that
// may call them.
var modelled = kernels.V(6, 18)

// Entry is what Linux says of one of its helpers.
type Entry struct {
	ID    uint32
	Name  string
	Since string // the first Linux that has it: "5.10"
	// Types are the program types that have the helper; empty: all. Programs of
	// type Extension have what the program that they extend has.
	Types []ebpf.ProgramType
	// GPL says that only programs of a GPL compatible licence may call it.
	GPL bool
}

// Linux gives all helpers of Linux in the order of their numbers.
var Linux = sync.OnceValue(func() []Entry {
	var all []Entry
	for _, h := range kernels.Helpers() {
		all = append(all, Entry{h.ID, h.Name, h.Since.String(), callers(h), h.GPL})
	}
	return all
})

// FromLinux is what Linux says of a helper; false where it has none of this
// number.
func FromLinux(id uint32) (Entry, bool) {
	all := Linux()
	if id == 0 || int(id) > len(all) {
		return Entry{}, false
	}
	return all[id-1], true
}

// callers are the program types that have a helper. A program of no type has
// what all but few have.
func callers(h kernels.Helper) []ebpf.ProgramType {
	const all = int(ebpf.Netfilter) - 1 // but Extension
	types := h.Types(modelled)
	switch len(types) {
	case all:
		return nil
	case all - 1:
		return append(types, ebpf.UnspecifiedProgram)
	}
	return types
}
