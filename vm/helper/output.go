package helper

import (
	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/maps"
)

func init() {
	register(
		&Helper{ID: 25, Name: "bpf_perf_event_output", Func: perfEventOutput,
			Args: []Arg{ArgPtrToCtx, ArgConstMapPtr, ArgAnything, ArgPtrToMem, ArgConstSizeOrZero}},
		&Helper{ID: 111, Name: "bpf_skb_output", Func: perfEventOutput,
			Args: []Arg{ArgPtrToBTF, ArgConstMapPtr, ArgAnything, ArgPtrToMem, ArgConstSizeOrZero}},
		&Helper{ID: 121, Name: "bpf_xdp_output", Func: perfEventOutput,
			Args: []Arg{ArgPtrToBTF, ArgConstMapPtr, ArgAnything, ArgPtrToMem, ArgConstSizeOrZero}},
		&Helper{ID: 130, Name: "bpf_ringbuf_output", Func: ringbufOutput,
			Args: []Arg{ArgConstMapPtr, ArgPtrToMem, ArgConstSizeOrZero, ArgAnything}},
		&Helper{ID: 131, Name: "bpf_ringbuf_reserve", Func: ringbufReserve, Ret: RetPtrToMemOrNull,
			Args: []Arg{ArgConstMapPtr, ArgConstAllocSize, ArgAnything}},
		&Helper{ID: 132, Name: "bpf_ringbuf_submit", Func: ringbufSubmit, Ret: RetVoid,
			Args: []Arg{ArgPtrToRingbufMem, ArgAnything}},
		&Helper{ID: 133, Name: "bpf_ringbuf_discard", Func: ringbufDiscard, Ret: RetVoid,
			Args: []Arg{ArgPtrToRingbufMem, ArgAnything}},
		&Helper{ID: 134, Name: "bpf_ringbuf_query", Func: ringbufQuery,
			Args: []Arg{ArgConstMapPtr, ArgAnything}},
	)
}

// perfEventOutput sends a sample to a perf ring. For types that see a packet,
// bits 32..51 of flags say how many bytes of it follow. Of a packet that is a
// kernel object nothing can follow.
func perfEventOutput(s *exec.State, _, r2, r3, r4, r5 uint64) uint64 {
	const payloadMask = 0xfffff << 32
	m, ok := mapOf(r2).(*maps.PerfEventArray)
	if !ok {
		return errno.EINVAL.Ret()
	}
	allowed := uint64(maps.PerfIndexMask)
	if s.Packet.Type != ebpf.UnspecifiedProgram {
		allowed |= payloadMask
	}
	payload := r3 & payloadMask >> 32
	switch {
	case r3&^allowed != 0:
		return errno.EINVAL.Ret()
	case payload > 0 && payload > uint64(s.Packet.Len()):
		return errno.EFAULT.Ret()
	}
	err := m.Output(s.CPU, r3&maps.PerfIndexMask, view(r4, r5), view(uint64(s.Packet.Data), payload))
	if err == errno.ENOENT && counterAt(s, m, perfIndex(s, r3)) != nil {
		return errno.EINVAL.Ret() // an event that counts takes no samples
	}
	return status(err)
}

func ringbufOutput(_ *exec.State, r1, r2, r3, r4, _ uint64) uint64 {
	m, ok := mapOf(r1).(*maps.Ringbuf)
	if !ok {
		return errno.EINVAL.Ret()
	}
	return status(m.Output(view(r2, r3), r4))
}

// ringbufReserve lends a record to the program, which must submit or discard it.
func ringbufReserve(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	m, ok := mapOf(r1).(*maps.Ringbuf)
	if !ok || r3 != 0 {
		return 0
	}
	addr := m.Reserve(r2)
	if addr != 0 {
		s.RetProv = s.Acquire(exec.Record{Addr: addr, Size: uintptr(r2), Map: m.Info().Handle})
	}
	return uint64(addr)
}

func ringbufSubmit(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
	if m := takeRecord(s, r1); m != nil {
		m.Submit(uintptr(r1), r2)
	}
	return 0
}

func ringbufDiscard(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
	if m := takeRecord(s, r1); m != nil {
		m.Discard(uintptr(r1), r2)
	}
	return 0
}

// RingbufWake wakes the reader of the ring buffer in R1. It is for native code, which
// submits records itself; programs do not have it.
var RingbufWake = &Helper{Name: "wake the reader of a ring buffer", Func: func(_ *exec.State, r1, _, _, _, _ uint64) uint64 {
	if r, ok := mapOf(r1).(*maps.Ringbuf); ok {
		r.Signal()
	}
	return 0
}}

// takeRecord ends the loan of a record, and gives the ring buffer that it lies
// in; nil where there is no such loan, or the map is closed.
func takeRecord(s *exec.State, addr uint64) *maps.Ringbuf {
	r, ok := s.Release(uintptr(addr))
	if !ok {
		return nil
	}
	m, _ := maps.Get(r.Map).(*maps.Ringbuf)
	return m
}

func ringbufQuery(_ *exec.State, r1, r2, _, _, _ uint64) uint64 {
	m, ok := mapOf(r1).(*maps.Ringbuf)
	if !ok {
		return 0
	}
	return m.Query(r2)
}
