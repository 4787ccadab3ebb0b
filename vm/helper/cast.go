package helper

import (
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/kernctx"
)

func init() {
	registerKfuncs("6.2",
		&Helper{Name: "bpf_cast_to_kern_ctx", Bind: castToKernel, Ret: RetPtrToObject, Args: []Arg{ArgPtrToCtx}},
		&Helper{Name: "bpf_rdonly_cast", Func: readOnlyCast, Ret: RetPtrToObject, Args: []Arg{ArgAnything, ArgAnything}},
	)
}

// castToKernel gives the kernel's own structure behind the context, which follows what
// becomes of packet and context.
func castToKernel(types Types) (Func, error) {
	var kernel *btf.Spec
	if types.Kernel != nil {
		var err error
		if kernel, err = types.Kernel(); err != nil {
			return nil, err
		}
	}
	layout, err := kernctx.New(types.Program, kernel)
	if err != nil {
		return nil, err
	}
	return func(s *exec.State, r1, _, _, _, _ uint64) uint64 {
		s.RetProv = exec.Nowhere
		if layout == nil { // the context is the kernel's own
			return r1
		}
		addr, err := layout.Show(s)
		if err != nil {
			s.Engine.Fail(err)
			return 0
		}
		return addr
	}, nil
}

// readOnlyCast gives its argument as a pointer that may be loaded from: where
// there is no memory a load gives 0.
func readOnlyCast(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	s.RetProv = exec.Nowhere
	if p := s.ProvOf(uintptr(r1)); p != 0 && len(s.Structure(uintptr(r1), 0)) == 0 {
		s.RetProv = p
	}
	return r1
}
