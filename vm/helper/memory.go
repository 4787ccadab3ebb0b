package helper

import (
	"bytes"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
)

// A number that a program reads from may be an address of the machine's own
// memory, of a kernel object, or of memory that a person describes. There is one
// process's memory.

func init() {
	read := []Arg{ArgPtrToUninitMem, ArgConstSizeOrZero, ArgAnything}
	register(
		&Helper{ID: 4, Name: "bpf_probe_read", Func: probe(kernelOrUser, false), Args: read},
		&Helper{ID: 45, Name: "bpf_probe_read_str", Func: probe(kernelOrUser, true), Args: read},
		&Helper{ID: 112, Name: "bpf_probe_read_user", Func: probe(userMemory, false), Args: read},
		&Helper{ID: 113, Name: "bpf_probe_read_kernel", Func: probeKernel(false), Args: read},
		&Helper{ID: 114, Name: "bpf_probe_read_user_str", Func: probeUserText, Args: read},
		&Helper{ID: 115, Name: "bpf_probe_read_kernel_str", Func: probeKernel(true), Args: read},
		&Helper{ID: 148, Name: "bpf_copy_from_user", Func: probe(userMemory, false), Args: read},
		&Helper{ID: 191, Name: "bpf_copy_from_user_task", Func: copyFromTask,
			Args: []Arg{ArgPtrToUninitMem, ArgConstSizeOrZero, ArgAnything, ArgPtrToBTF, ArgAnything}},
		&Helper{ID: 36, Name: "bpf_probe_write_user", Func: probeWriteUser,
			Args: []Arg{ArgAnything, ArgPtrToMem, ArgConstSize}},
	)
}

// memoryAt gives what can be read from an address on; nothing where there is no
// memory.
type memoryAt func(s *exec.State, addr uint64) []byte

func kernelMemory(s *exec.State, addr uint64) []byte { return s.Kernel(addr) }

func userMemory(s *exec.State, addr uint64) []byte { return s.Env.Objects.Readable(addr, true) }

// kernelOrUser is for helpers that are older than the difference.
func kernelOrUser(s *exec.State, addr uint64) []byte {
	if b := kernelMemory(s, addr); len(b) > 0 {
		return b
	}
	return userMemory(s, addr)
}

// probe makes a helper that reads where a number says: EFAULT, and zeros, where
// not all can be read. Of a string it gives the length with its NUL.
func probe(memory memoryAt, text bool) Func {
	copyFrom := copyMemory
	if text {
		copyFrom = copyText
	}
	return func(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
		to := view(r1, uint64(uint32(r2)))
		n, ok := copyFrom(s, memory, to, r3)
		if !ok {
			clear(to)
			return errno.EFAULT.Ret()
		}
		return uint64(n)
	}
}

// probeKernel is probe for the kernel's memory: an address that cannot be its is
// told from one where there is nothing (ERANGE). Of no bytes a string is always
// there.
func probeKernel(text bool) Func {
	read := probe(kernelMemory, text)
	return func(s *exec.State, r1, r2, r3, r4, r5 uint64) uint64 {
		empty := text && uint32(r2) == 0
		if !empty && notKernels(s, r3) {
			clear(view(r1, uint64(uint32(r2))))
			return errno.ERANGE.Ret()
		}
		return read(s, r1, r2, r3, r4, r5)
	}
}

// probeUserText reads a string of the process's memory.
func probeUserText(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	to := view(r1, uint64(uint32(r2)))
	n := readUserText(s, to, r3)
	if n < 0 {
		clear(to)
	}
	return uint64(n)
}

// notKernels reports whether an address cannot be the kernel's.
func notKernels(s *exec.State, addr uint64) bool {
	const kernelHalf = 0xffff_8000_0000_0000 // below are a process's, and none's
	return addr < kernelHalf && len(kernelMemory(s, addr)) == 0
}

func copyMemory(s *exec.State, memory memoryAt, to []byte, addr uint64) (int, bool) {
	for len(to) > 0 {
		n := copy(to, memory(s, addr))
		if n == 0 {
			return 0, false
		}
		to, addr = to[n:], addr+uint64(n)
	}
	return 0, true
}

// copyUntilNUL copies a NUL and what is before it, as far as there is room, and gives
// how much that is; not ok where it cannot read on.
func copyUntilNUL(s *exec.State, memory memoryAt, to []byte, addr uint64) (n int, ended, ok bool) {
	for n < len(to) {
		b := memory(s, addr+uint64(n))
		if len(b) == 0 {
			return n, false, false
		}
		b = b[:min(len(b), len(to)-n)]
		if end := bytes.IndexByte(b, 0); end >= 0 {
			return n + copy(to[n:], b[:end+1]), true, true
		}
		n += copy(to[n:], b)
	}
	return n, false, true
}

// copyText cuts what is too long and ends it with a NUL all the same.
func copyText(s *exec.State, memory memoryAt, to []byte, addr uint64) (int, bool) {
	n, ended, ok := copyUntilNUL(s, memory, to, addr)
	if ok && !ended && n > 0 {
		to[n-1] = 0
	}
	return n, ok
}

func copyFromTask(s *exec.State, r1, r2, r3, _, r5 uint64) uint64 {
	to := view(r1, uint64(uint32(r2)))
	if r5 != 0 {
		return errno.EINVAL.Ret()
	}
	if _, ok := copyMemory(s, userMemory, to, r3); !ok {
		clear(to)
		return errno.EFAULT.Ret()
	}
	return 0
}

// probeWriteUser changes memory that a person described as a process's.
func probeWriteUser(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	from := view(r2, uint64(uint32(r3)))
	to := userMemory(s, r1)
	if len(to) < len(from) {
		return errno.EFAULT.Ret()
	}
	copy(to, from)
	return 0
}
