package helper

import (
	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
)

// maxLoops is the most iterations that bpf_loop takes on (BPF_MAX_LOOPS).
const maxLoops = 8 << 20

func init() {
	register(
		&Helper{ID: 181, Name: "bpf_loop", Func: loop,
			Args: []Arg{ArgAnything, ArgPtrToFunc, ArgPtrToStackOrNull, ArgAnything}},
	)
}

// loop calls a function with 0, 1, .. and the caller's context until it returns
// other than 0, and gives the number of calls. A fault ends the run: the engine
// that met it knows.
//
// Linux puts the loop itself in the place of a call whose flags are plainly 0, and
// so takes the number as one of 64 bits and gives the error as one of 32.
func loop(s *exec.State, r1, r2, r3, r4, _ uint64) uint64 {
	if r4 != 0 {
		return errno.EINVAL.Ret()
	}
	if r1 > maxLoops {
		return uint64(uint32(errno.E2BIG.Ret()))
	}
	n := uint32(r1)
	provs := [5]exec.Prov{1: s.ArgProv[2]}
	for i := range n {
		args := [5]uint64{uint64(i), r3}
		stop, fault := s.Engine.Callback(s, uint32(r2), &args, &provs)
		if fault != nil || stop != 0 {
			return uint64(i) + 1
		}
	}
	return uint64(n)
}
