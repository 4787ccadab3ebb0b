package interp

import (
	"fmt"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/helper"
	"github.com/skep-ebpf/skep/vm/maps"
)

// Programs may hand the kernel's memory to helpers. In Linux a pointer of the kernel's
// types that is trusted leads somewhere. Here it leads to what a person described, or
// nowhere, so that such an argument is looked at before the call.

// guarded gives a helper for the call at an instruction that looks at its arguments
// first: at those in the registers whose bits are set.
func (p *Program) guarded(insn int, h *helper.Helper, kernel uint8) *helper.Helper {
	call := h.Func
	guarded := *h
	guarded.Guarded = true
	guarded.Func = func(s *exec.State, r1, r2, r3, r4, r5 uint64) uint64 {
		args := [...]uint64{r1, r2, r3, r4, r5}
		for i := range h.Args {
			if kernel&(1<<(isa.R1+i)) == 0 {
				continue
			}
			if n := accessed(s, h, i, &args); n > 0 && !s.Reaches(uintptr(args[i]), n) {
				s.Engine.Fail(p.Fault(insn, fmt.Sprintf("R%d (argument %d of %s) is 0x%x, where the machine has no memory of %d bytes", isa.R1+i, i+1, h.Name, args[i], n)))
				return 0
			}
		}
		return call(s, r1, r2, r3, r4, r5)
	}
	return &guarded
}

// accessed is how many bytes a helper accesses where its argument i points.
func accessed(s *exec.State, h *helper.Helper, i int, args *[5]uint64) uintptr {
	switch h.Args[i] {
	case helper.ArgPtrToMem, helper.ArgPtrToUninitMem, helper.ArgPtrToMemOrNull, helper.ArgPtrToUninitMemOrNull:
		return uintptr(args[i+1])
	case helper.ArgPtrToBufferOrNull:
		if args[i] != 0 {
			return uintptr(args[i+1])
		}
	case helper.ArgPtrToMapKey:
		return uintptr(mapSize(maps.Get(maps.Handle(args[0])), func(i *maps.Info) uint32 { return i.KeySize }))
	case helper.ArgPtrToMapValue, helper.ArgPtrToUninitMapValue, helper.ArgPtrToMapValueOrNull:
		if args[i] != 0 {
			return uintptr(mapSize(maps.Get(maps.Handle(args[0])), func(i *maps.Info) uint32 { return i.ValueSize }))
		}
	case helper.ArgPtrToInt:
		return 4
	case helper.ArgPtrToLong:
		return 8
	case helper.ArgPtrToTCPHeader:
		return tcpHeader
	case helper.ArgPtrToFixedMem:
		return uintptr(h.FixedSize)
	case helper.ArgPtrToObject: // a struct cpumask: functions look into no other
		return uintptr(s.Env.CPUs+63) / 64 * 8
	}
	return 0
}
