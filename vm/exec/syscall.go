package exec

import "github.com/skep-ebpf/skep/internal/mem"

// Syscalls is bpf(2) for programs that call it (bpf_sys_bpf).
type Syscalls interface {
	// BPF executes one of the commands that programs may, BPF_MAP_CREATE and so on.
	// The attributes that attr is too short for are 0. It gives a descriptor where the
	// command opens something, and 0 elsewhere. The error is an errno.Errno.
	BPF(s *State, cmd uint32, attr []byte) (fd uint32, err error)
	// Close closes a descriptor that BPF gave; EBADF where there is none.
	Close(fd uint32) error
}

// Kernel gives what can be read from an address of the kernel's on: this run's
// memory, or an object's. Nothing where there is no memory.
func (s *State) Kernel(addr uint64) []byte {
	if b := s.Structure(uintptr(addr), ^uintptr(0)); len(b) > 0 {
		return b
	}
	if n := s.Readable(uintptr(addr)); n > 0 {
		return mem.View(uintptr(addr), int(n))
	}
	return s.Env.Objects.Readable(addr, false)
}

// ReadKernel copies bytes from an address of the kernel's on, and reports whether
// all of them are there.
func (s *State) ReadKernel(addr uint64, to []byte) bool {
	for len(to) > 0 {
		n := copy(to, s.Kernel(addr))
		if n == 0 {
			return false
		}
		to, addr = to[n:], addr+uint64(n)
	}
	return true
}
