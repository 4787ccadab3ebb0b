package helper

import (
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/object"
)

func init() {
	register(
		&Helper{ID: 153, Name: "bpf_per_cpu_ptr", Func: perCPUPtr, Ret: RetPtrToMemOrNull,
			Args: []Arg{ArgPtrToObject, ArgAnything}},
		&Helper{ID: 154, Name: "bpf_this_cpu_ptr", Func: thisCPUPtr, Ret: RetPtrToMem, Args: []Arg{ArgPtrToObject}},
	)
}

// perCPUPtr gives a CPU's part of an object that has one for each. Objects of the
// kernel are the same for all CPUs here.
func perCPUPtr(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
	cpu, cpus := uint32(r2), s.Env.CPUs
	o, ok := object.Find(uintptr(r1))
	perCPU := ok && o.Layout.CPUs > 0
	if perCPU {
		cpus = int(o.Layout.CPUs)
	}
	if uint64(cpu) >= uint64(cpus) {
		return 0
	}
	s.RetProv = s.ArgProv[0]
	if perCPU {
		return uint64(o.Base + uintptr(cpu)*uintptr(o.Layout.Stride))
	}
	return r1
}

func thisCPUPtr(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	return perCPUPtr(s, r1, uint64(s.CPU), 0, 0, 0)
}
