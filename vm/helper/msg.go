package helper

import (
	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/exec"
)

// Messages that a process sends through a socket. A message is what lies from the
// packet's HardStart to its HardEnd; data and data_end show a part.

func init() {
	register(
		&Helper{ID: 61, Name: "bpf_msg_apply_bytes", Func: noteBytes("msg_apply_bytes"), Args: []Arg{ArgPtrToCtx, ArgAnything}},
		&Helper{ID: 62, Name: "bpf_msg_cork_bytes", Func: noteBytes("msg_cork_bytes"), Args: []Arg{ArgPtrToCtx, ArgAnything}},
		&Helper{ID: 63, Name: "bpf_msg_pull_data", Func: msgPull, MovesPacket: true,
			Args: []Arg{ArgPtrToCtx, ArgAnything, ArgAnything, ArgAnything}},
		&Helper{ID: 90, Name: "bpf_msg_push_data", Func: msgPush, MovesPacket: true,
			Args: []Arg{ArgPtrToCtx, ArgAnything, ArgAnything, ArgAnything}},
		&Helper{ID: 91, Name: "bpf_msg_pop_data", Func: msgPop, MovesPacket: true,
			Args: []Arg{ArgPtrToCtx, ArgAnything, ArgAnything, ArgAnything}},
	)
}

// noteBytes notes for how many bytes a verdict holds, or is to wait.
func noteBytes(what string) Func {
	return func(s *exec.State, _, r2, _, _, _ uint64) uint64 {
		s.Act(what, uint64(uint32(r2)))
		return 0
	}
}

// message is the whole of the message that the program sees a part of.
func message(s *exec.State) []byte {
	return mem.View(s.Packet.HardStart, int(s.Packet.HardEnd-s.Packet.HardStart))
}

// msgPull makes data and data_end show the bytes from one offset to another.
func msgPull(s *exec.State, _, r2, r3, r4, _ uint64) uint64 {
	p := &s.Packet
	start, end := uint64(uint32(r2)), uint64(uint32(r3))
	if r4 != 0 || end <= start || end > uint64(len(message(s))) {
		return errno.EINVAL.Ret()
	}
	p.Data, p.DataEnd = p.HardStart+uintptr(start), p.HardStart+uintptr(end)
	s.PacketMoved()
	return 0
}

// msgPush makes room for bytes, which are zeros, at an offset.
func msgPush(s *exec.State, _, r2, r3, r4, _ uint64) uint64 {
	start, n := uint64(uint32(r2)), uint64(uint32(r3))
	length := uint64(len(message(s)))
	switch {
	case r4 != 0 || n != 0 && start > length:
		return errno.EINVAL.Ret()
	case n == 0:
		return 0
	case length+n > exec.MaxPacket:
		return errno.ENOMEM.Ret()
	}
	s.Packet.HardEnd += uintptr(n)
	b := message(s)
	copy(b[start+n:], b[start:length])
	clear(b[start : start+n])
	showMessage(s)
	return 0
}

// msgPop takes bytes out at an offset.
func msgPop(s *exec.State, _, r2, r3, r4, _ uint64) uint64 {
	start, n := uint64(uint32(r2)), uint64(uint32(r3))
	b := message(s)
	if r4 != 0 || start+n > uint64(len(b)) {
		return errno.EINVAL.Ret()
	}
	copy(b[start:], b[start+n:])
	s.Packet.HardEnd -= uintptr(n)
	showMessage(s)
	return 0
}

func showMessage(s *exec.State) {
	s.Packet.Data, s.Packet.DataEnd = s.Packet.HardStart, s.Packet.HardEnd
	s.PacketMoved()
}
