package helper

import (
	"cmp"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
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
	// Slot is what ArgPtrToUninitSlot and its kin are; 0: a dynptr.
	Slot Slot
	// Flags say what a call takes and gives (kernel functions; KF_ACQUIRE ..).
	Flags Flags
	// Since is the first Linux version with the kernel function.
	Since string
	// Bind, in place of Func, gives the implementation for a program by the types
	// that it knows. An error says why the program cannot be loaded.
	Bind func(types Types) (Func, error)
	// Guarded says that Func holds arguments against the memory that there is before it
	// does the helper's work.
	Guarded bool
	// MovesPacket says that packet pointers are stale after the call.
	MovesPacket bool
}

// Types are the types that a program knows, and its own.
type Types struct {
	Program *progtype.Type
	// Own are those of its object; nil: none.
	Own *btf.Spec
	// Kernel gives those of the kernel that it is for; nil: there is none.
	Kernel func() (*btf.Spec, error)
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
	ArgPtrToSocket                     // a socket
	ArgPtrToSocketOrNull               // a socket, or NULL
	ArgPtrToOwnedSocket                // a socket that the program must release, which is none after the call
	ArgPtrToCtxOrSocket                // the program's context, or a socket
	ArgPtrToBTF                        // a kernel object, or a pointer that leads nowhere
	ArgPtrToTCPHeader                  // a TCP header without options, 20 bytes to read
	ArgPtrToUninitSlot                 // room on the stack for a dynptr or an iterator
	ArgPtrToBufferOrNull               // memory to write as for ArgPtrToUninitMem, or NULL with any size
	ArgPtrToSlot                       // a dynptr or an iterator
	ArgPtrToSlotOrNull                 // the same, or NULL
	ArgPtrToReleasedSlot               // a dynptr or an iterator, which is none after the call
	ArgPtrToObject                     // an object that programs allocate, or the kernel's
	ArgPtrToOwned                      // an object that the program owns, and gives away
	ArgPtrToOwnedOrNull                // the same, or NULL
	ArgPtrToOwnedNode                  // a list's or tree's node in an object that the program owns, and gives away
	ArgPtrToListNode                   // a list's node in an object
	ArgPtrToRBNode                     // a tree's node in an object
	ArgPtrToListHead                   // a list in a map's value or an object
	ArgPtrToRBRoot                     // a tree
	ArgPtrToSpinLock                   // a bpf_spin_lock in a map's value or an object
	ArgPtrToResSpinLock                // a bpf_res_spin_lock
	ArgPtrToTimer                      // a bpf_timer in a map's value
	ArgPtrToWorkqueue                  // a bpf_wq in a map's value
	ArgPtrToTaskWork                   // a bpf_task_work in a map's value
	ArgPtrToMapValueOrNull             // value_size bytes to read, or NULL
	ArgPtrToKptr                       // a pointer that a map's value or an object keeps
	ArgPtrToBTFOrNull                  // as ArgPtrToBTF, or NULL
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
	RetPtrToBTF            // a kernel object, NULL, or a pointer that leads nowhere
	RetPtrToObject         // or NULL; the helper sets State.RetProv
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
