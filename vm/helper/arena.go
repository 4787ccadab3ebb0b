package helper

import (
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/maps"
)

func init() {
	registerKfuncs("6.9",
		&Helper{Name: "bpf_arena_alloc_pages", Func: arenaAlloc, Flags: RetNull,
			Args: []Arg{ArgConstMapPtr, ArgAnything, ArgAnything, ArgAnything, ArgAnything}},
		&Helper{Name: "bpf_arena_free_pages", Func: arenaFree, Ret: RetVoid,
			Args: []Arg{ArgConstMapPtr, ArgAnything, ArgAnything}},
	)
	registerKfuncs("6.18",
		&Helper{Name: "bpf_arena_reserve_pages", Func: arenaReserve,
			Args: []Arg{ArgConstMapPtr, ArgAnything, ArgAnything}},
	)
}

// arenaAlloc gives the address in user space of r3 pages. There is one NUMA
// node, 0; -1 is any.
func arenaAlloc(_ *exec.State, r1, r2, r3, r4, r5 uint64) uint64 {
	a, ok := mapOf(r1).(*maps.Arena)
	if node := int32(r4); !ok || r5 != 0 || node != 0 && node != -1 {
		return 0
	}
	return a.Alloc(r2, uint32(r3))
}

func arenaFree(_ *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	if a, ok := mapOf(r1).(*maps.Arena); ok {
		a.Free(r2, uint32(r3))
	}
	return 0
}

func arenaReserve(_ *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	a, ok := mapOf(r1).(*maps.Arena)
	if !ok || uint32(r3) == 0 {
		return 0
	}
	return uint64(uint32(status(a.Reserve(r2, uint32(r3)))))
}
