package helper

import (
	"math"

	"github.com/skep-ebpf/skep/vm/exec"
)

// Iterators over all structures of a kind that the kernel has: those of the type that
// are described as its memory, by address.

func init() {
	const asks = "objects in memory"
	over := func(name string, slot Slot, typ string) []*Helper {
		return iterator(name, slot, asks, iterObjectsNew, iterObjectsNext(typ))
	}
	registerKfuncs("6.13", over("bpf_iter_kmem_cache", SlotIterKmemCache, "kmem_cache")...)
	registerKfuncs("6.16", over("bpf_iter_dmabuf", SlotIterDMABuf, "dma_buf")...)
	// No address is in a slab here.
	registerKfuncs("6.13", &Helper{Name: "bpf_get_kmem_cache", Func: noop, Ret: RetPtrToObject, Args: []Arg{ArgAnything}})
}

// An iterator's word is the address of the structure given last, at first 0, and after
// the last one this.
const iterObjectsEnd = math.MaxUint64

func iterObjectsNew(_ *exec.State, r1, _, _, _, _ uint64) uint64 {
	*at[uint64](r1) = 0
	return 0
}

func iterObjectsNext(typ string) Func {
	return func(s *exec.State, r1, _, _, _, _ uint64) uint64 {
		last := at[uint64](r1)
		o, ok := s.Env.Objects.After(uintptr(*last), typ)
		if !ok {
			*last = iterObjectsEnd
			return 0
		}
		*last = uint64(o.Addr)
		return givesStruct(s, uint64(o.Addr))
	}
}
