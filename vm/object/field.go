package object

import (
	"sync/atomic"

	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/maps"
)

// What ends with a value or an object: its pointers' references, and the objects
// in its lists and trees. Each field is left empty.
func init() {
	maps.OnFree(maps.FieldKptr, freePointer)
	maps.OnFree(maps.FieldKptrPercpu, freePointer)
	maps.OnFree(maps.FieldListHead, freeList)
	maps.OnFree(maps.FieldRBRoot, freeTree)
}

func freePointer(_ *maps.Info, _ *maps.Field, addr uintptr) {
	if old := Exchange(addr, 0); old != 0 {
		Drop(old)
	}
}

func freeList(_ *maps.Info, _ *maps.Field, addr uintptr) {
	for n := PopFront(addr); n != 0; n = PopFront(addr) {
		Drop(n)
	}
}

func freeTree(_ *maps.Info, _ *maps.Field, addr uintptr) {
	for n := First(addr); n != 0; n = First(addr) {
		Remove(addr, n)
		Drop(n)
	}
}

// Exchange puts a pointer into a kptr field and gives what was there.
func Exchange(field, addr uintptr) uintptr {
	return uintptr(atomic.SwapUint64(word(field), uint64(addr)))
}

// word is the 8 bytes at an address.
func word(addr uintptr) *uint64 { return (*uint64)(mem.At(addr)) }

func get(addr uintptr) uintptr { return uintptr(*word(addr)) }

func set(addr, v uintptr) { *word(addr) = uint64(v) }
