package helper

import "github.com/skep-ebpf/skep/vm/exec"

func init() {
	registerKfuncs("6.2", &Helper{Name: "bpf_rdonly_cast", Func: readOnlyCast, Ret: RetPtrToObject,
		Args: []Arg{ArgAnything, ArgAnything}})
}

// readOnlyCast gives its argument as a pointer that may be loaded from: where
// there is no memory a load gives 0.
func readOnlyCast(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	s.RetProv = exec.Nowhere
	if p := s.ProvOf(uintptr(r1)); p != 0 {
		s.RetProv = p
	}
	return r1
}
