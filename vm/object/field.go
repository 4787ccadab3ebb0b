package object

import (
	"sync/atomic"

	"github.com/skep-ebpf/skep/internal/mem"
)

// word is the 8 bytes at an address.
func word(addr uintptr) *uint64 { return (*uint64)(mem.At(addr)) }

func get(addr uintptr) uintptr { return uintptr(*word(addr)) }

func set(addr, v uintptr) { *word(addr) = uint64(v) }

// Exchange puts a pointer into a kptr field and gives what was there.
func Exchange(field, addr uintptr) uintptr {
	return uintptr(atomic.SwapUint64(word(field), uint64(addr)))
}

// Free gives back what the special fields of a value at base hold, and leaves
// them empty: the objects that pointers, lists and trees own.
func Free(base uintptr, fields []Field) {
	for i := range fields {
		f := &fields[i]
		at := base + uintptr(f.Off)
		switch f.Kind {
		case KptrRef, KptrPerCPU:
			if addr := Exchange(at, 0); addr != 0 {
				Drop(addr)
			}
		case ListHead:
			for n := PopFront(at); n != 0; n = PopFront(at) {
				Drop(n)
			}
			set(at, 0)
			set(at+8, 0)
		case RBRoot:
			for n := First(at); n != 0; n = First(at) {
				Remove(at, n)
				Drop(n)
			}
		}
	}
}
