package progtype

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// Programs of type ext (SEC("freplace/...")) run in place of a function of another
// program. Here they run by themselves, on the context that the function takes.

// ForFunction describes the program type whose context is a function's first
// argument.
func ForFunction(fn *btf.Func) (*Type, error) {
	if fn == nil {
		return nil, errors.New("program type Extension needs types to tell what it replaces: build with clang -g")
	}
	name := contextOf(fn)
	for _, p := range contextOwners {
		for _, t := range types[p] {
			if name != "" && t.CtxName == "struct "+name {
				return t, nil
			}
		}
	}
	return nil, fmt.Errorf("program of type Extension runs here only in place of a function whose first argument is a context, which that of %s is not", fn.Name)
}

// contextOwners are the types with contexts of their own, or the most common one
// of those that share one.
var contextOwners = []ebpf.ProgramType{
	ebpf.XDP, ebpf.SchedCLS, ebpf.CGroupSockAddr, ebpf.CGroupSock, ebpf.CGroupSockopt, ebpf.CGroupSysctl, ebpf.CGroupDevice,
	ebpf.SockOps, ebpf.SkMsg, ebpf.SkLookup, ebpf.SkReuseport, ebpf.Kprobe, ebpf.PerfEvent, ebpf.RawTracepoint,
}

// contextOf is the structure that a function's first argument points to, or "".
func contextOf(fn *btf.Func) string {
	proto, ok := fn.Type.(*btf.FuncProto)
	if !ok || len(proto.Params) == 0 {
		return ""
	}
	ptr, ok := btf.UnderlyingType(proto.Params[0].Type).(*btf.Pointer)
	if !ok {
		return ""
	}
	s, ok := btf.UnderlyingType(ptr.Target).(*btf.Struct)
	if !ok {
		return ""
	}
	return s.Name
}
