package helper

import (
	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/maps"
)

func init() {
	register(&Helper{ID: 209, Name: "bpf_user_ringbuf_drain", Func: userRingbufDrain,
		Args: []Arg{ArgConstMapPtr, ArgPtrToFunc, ArgPtrToStackOrNull, ArgAnything}})
}

// userRingbufDrain calls a function with each record, as a dynptr, and the
// caller's context until it returns other than 0, and gives the number of calls.
func userRingbufDrain(s *exec.State, r1, r2, r3, r4, _ uint64) uint64 {
	m, ok := mapOf(r1).(*maps.UserRingbuf)
	if !ok {
		return errno.EINVAL.Ret()
	}
	from := s.ArgProv[2] // helpers that the function calls write over it
	n, err := m.Drain(r4, func(addr uintptr, size uint32) bool {
		stop, fault := drainOne(s, uint32(r2), addr, size, r3, from)
		return fault == nil && stop == 0
	})
	if err != nil {
		return status(err)
	}
	return uint64(n)
}

func drainOne(s *exec.State, fn uint32, addr uintptr, size uint32, ctx uint64, ctxFrom exec.Prov) (uint64, error) {
	sample := s.Acquire(exec.Record{Addr: addr, Size: uintptr(size)})
	defer func() { s.Acquired[sample.Elem()].Live = false }()
	ptr, from := s.Lend(int(SlotDynptr.Size()))
	if ptr == nil {
		return 0, errno.ENOMEM
	}
	defer s.Return(ptr, from)
	NewDynptr(ptr, addr, size)
	s.Acquired[from.Elem()].Dynptr = true
	args, provs := [5]uint64{addressOf(ptr), ctx}, [5]exec.Prov{from, ctxFrom}
	return s.Engine.Callback(s, fn, &args, &provs)
}
