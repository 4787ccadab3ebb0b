package helper

import (
	"cmp"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/vm/exec"
)

// Func is a helper's implementation: R1..R5 in, R0 out. An error is a negated
// [errno.Errno]. In checked mode the arguments have been held against the
// prototype; otherwise the verifier has.
type Func func(s *exec.State, r1, r2, r3, r4, r5 uint64) uint64

// Helper is one helper function.
type Helper struct {
	ID   uint32
	Name string // as in linux/bpf.h: "bpf_map_lookup_elem"
	Func Func
	Args []Arg
	Ret  Ret
	// Types are the program types that have the helper; empty: all. They and GPL,
	// which keeps it for programs of a GPL compatible licence, are what Linux says
	// ([FromLinux]).
	Types []ebpf.ProgramType
	GPL   bool
	// Asks is what the helper asks of the world around the machine; "": nothing.
	Asks string
	// FixedSize is the size in bytes of the ArgPtrToFixedMem arguments.
	FixedSize int
	// MovesPacket says that packet pointers are stale after the call.
	MovesPacket bool
}

// Arg is the kind of an argument, named as the kernel names it (enum
// bpf_arg_type).
type Arg uint8

// The kinds of arguments.
const (
	ArgAnything             Arg = iota // a number, or a pointer used as one
	ArgPtrToCtx                        // the program's context
	ArgConstMapPtr                     // a map
	ArgPtrToMapKey                     // key_size bytes to read; the map is an earlier argument
	ArgPtrToMapValue                   // value_size bytes to read
	ArgPtrToUninitMapValue             // value_size bytes to write
	ArgPtrToMem                        // memory to read; the next argument is its size
	ArgPtrToMemOrNull                  // the same, or NULL with size 0
	ArgPtrToUninitMem                  // memory to write; the next argument is its size
	ArgPtrToUninitMemOrNull            // the same, or NULL with size 0
	ArgConstSize                       // size of the memory before, not 0
	ArgConstSizeOrZero                 // size of the memory before
	ArgConstAllocSize                  // size of the memory returned
	ArgPtrToInt                        // 4 bytes to read and write
	ArgPtrToLong                       // 8 bytes to read and write
	ArgPtrToConstStr                   // a NUL-terminated string in a read-only map
	ArgPtrToFunc                       // a function of the program
	ArgPtrToStackOrNull                // memory for a callback, or NULL
	ArgPtrToRingbufMem                 // a record that bpf_ringbuf_reserve gave
	ArgPtrToFixedMem                   // memory to read and write whose size the helper knows: Helper.FixedSize
)

// Ret is what a helper returns, named as the kernel names it (enum
// bpf_return_type).
type Ret uint8

// The kinds of results.
const (
	RetInteger Ret = iota
	RetVoid
	RetPtrToMapValueOrNull // the machine derives its Prov from the map and address
	RetPtrToMemOrNull      // the helper sets State.RetProv
	RetPtrToMem            // the helper sets State.RetProv
)

var table []*Helper

// register adds helpers to the table; each family's file calls it from init.
func register(hs ...*Helper) {
	for _, h := range hs {
		e, _ := FromLinux(h.ID)
		h.Types, h.GPL = e.Types, e.GPL
	}
	table = append(table, hs...)
	slices.SortFunc(table, func(a, b *Helper) int { return cmp.Compare(a.ID, b.ID) })
}

// All gives every helper of the machine in the order of their numbers.
func All() []*Helper { return table }

// ByID gives a helper by its number, or nil where the machine does not have it.
func ByID(id uint32) *Helper {
	i, ok := slices.BinarySearchFunc(table, id, func(h *Helper, id uint32) int { return cmp.Compare(h.ID, id) })
	if !ok {
		return nil
	}
	return table[i]
}

// AllowedIn reports whether programs of a type may call the helper.
func (h *Helper) AllowedIn(t ebpf.ProgramType) bool {
	return len(h.Types) == 0 || t == ebpf.Extension || slices.Contains(h.Types, t)
}
