package helper

import (
	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
)

// padZeros has the rest of a buffer cleared (BPF_F_PAD_ZEROS).
const padZeros = 1 << 0

func init() {
	toMem := []Arg{ArgPtrToUninitMem, ArgConstSizeOrZero, ArgAnything, ArgAnything}
	registerKfuncs("6.12",
		&Helper{Name: "bpf_copy_from_user_str", Func: copyUserString, Args: toMem},
	)
	registerKfuncs("6.15",
		&Helper{Name: "bpf_copy_from_user_task_str", Func: copyTaskString,
			Args: []Arg{ArgPtrToUninitMem, ArgConstSizeOrZero, ArgAnything, ArgPtrToBTF, ArgAnything}},
	)
	toDynptr := []Arg{ArgPtrToSlot, ArgAnything, ArgAnything, ArgAnything}
	ofTask := append(toDynptr[:4:4], ArgPtrToBTF)
	registerKfuncs("6.16",
		&Helper{Name: "bpf_probe_read_user_dynptr", Func: readIntoDynptr(readUser), Args: toDynptr},
		&Helper{Name: "bpf_probe_read_kernel_dynptr", Func: readIntoDynptr(readKernel), Args: toDynptr},
		&Helper{Name: "bpf_probe_read_user_str_dynptr", Func: textIntoDynptr(readUserText), Args: toDynptr},
		&Helper{Name: "bpf_probe_read_kernel_str_dynptr", Func: textIntoDynptr(readKernelText), Args: toDynptr},
		&Helper{Name: "bpf_copy_from_user_dynptr", Func: readIntoDynptr(copyUser), Args: toDynptr},
		&Helper{Name: "bpf_copy_from_user_str_dynptr", Func: textIntoDynptr(copyUserText), Args: toDynptr},
		&Helper{Name: "bpf_copy_from_user_task_dynptr", Func: readIntoDynptr(readTask), Args: ofTask},
		&Helper{Name: "bpf_copy_from_user_task_str_dynptr", Func: textIntoDynptr(copyTaskText), Args: ofTask},
	)
}

// copyUserString copies a string of the process's memory, cuts what is too long,
// and gives its length with the NUL.
func copyUserString(s *exec.State, r1, r2, r3, r4, _ uint64) uint64 {
	return copyString(copyUserText, s, r1, r2, r3, r4)
}

// copyTaskString is copyUserString for the memory of any process, of which there
// is one.
func copyTaskString(s *exec.State, r1, r2, r3, _, r5 uint64) uint64 {
	return copyString(copyTaskText, s, r1, r2, r3, r5)
}

func copyString(read reader, s *exec.State, r1, r2, r3, flags uint64) uint64 {
	to := view(r1, uint64(uint32(r2)))
	if flags&^padZeros != 0 {
		return result32(negative(errno.EINVAL))
	}
	n := read(s, to, r3)
	if flags == padZeros {
		clear(to[max(n, 0):])
	}
	return result32(n)
}

// reader fills b from an address and gives 0, of text the length with its NUL, or
// a negated error number.
type reader func(s *exec.State, b []byte, addr uint64) int64

// readUser refuses addresses that no process has also where nothing is to be read.
func readUser(s *exec.State, b []byte, addr uint64) int64 {
	const end = 1 << 47
	if addr >= end {
		return negative(errno.EFAULT)
	}
	if _, ok := copyMemory(s, userMemory, b, addr); !ok {
		return negative(errno.EFAULT)
	}
	return 0
}

func readTask(s *exec.State, b []byte, addr uint64) int64 {
	if _, ok := copyMemory(s, userMemory, b, addr); !ok {
		return negative(errno.EFAULT)
	}
	return 0
}

// copyUser is readTask that clears what it cannot read.
func copyUser(s *exec.State, b []byte, addr uint64) int64 {
	for len(b) > 0 {
		n := copy(b, userMemory(s, addr))
		if n == 0 {
			clear(b)
			return negative(errno.EFAULT)
		}
		b, addr = b[n:], addr+uint64(n)
	}
	return 0
}

func readKernel(s *exec.State, b []byte, addr uint64) int64 {
	if notKernels(s, addr) {
		return negative(errno.ERANGE)
	}
	if _, ok := copyMemory(s, kernelMemory, b, addr); !ok {
		return negative(errno.EFAULT)
	}
	return 0
}

// userText copies the text before a NUL, and the NUL, as far as there is room, and gives
// how long the text is. It copies words where there are as many bytes, and of the one
// with the NUL clears the rest.
func userText(s *exec.State, b []byte, addr uint64) (n int, ok bool) {
	n, ended, ok := copyUntilNUL(s, userMemory, b, addr)
	if !ok || !ended {
		return n, ok
	}
	const word = 8
	var last [word]byte
	at := (n - 1) &^ (word - 1)
	if _, whole := copyMemory(s, userMemory, last[:], addr+uint64(at)); whole && at+word <= len(b) {
		clear(b[n : at+word])
	}
	return n - 1, true
}

func readUserText(s *exec.State, b []byte, addr uint64) int64 {
	n, ok := userText(s, b, addr)
	switch {
	case !ok:
		return negative(errno.EFAULT)
	case n < len(b):
		n++
	case n > 0:
		b[n-1] = 0
	}
	return int64(n)
}

// copyUserText is readUserText that keeps the last byte for a NUL, and never reads as
// much.
func copyUserText(s *exec.State, b []byte, addr uint64) int64 {
	if len(b) == 0 {
		return 0
	}
	n, ok := userText(s, b[:len(b)-1], addr)
	if !ok {
		return negative(errno.EFAULT)
	}
	b[n] = 0
	return int64(n) + 1
}

// copyTaskText is readUserText that ends with a NUL also what it cannot read on.
func copyTaskText(s *exec.State, b []byte, addr uint64) int64 {
	if len(b) == 0 {
		return 0
	}
	n, ok := userText(s, b, addr)
	switch {
	case !ok:
		b[n] = 0
		return negative(errno.EFAULT)
	case n == len(b):
		n--
		b[n] = 0
	}
	return int64(n) + 1
}

func readKernelText(s *exec.State, b []byte, addr uint64) int64 {
	switch {
	case len(b) == 0:
		return 0
	case notKernels(s, addr):
		return negative(errno.ERANGE)
	}
	n, ok := copyText(s, kernelMemory, b, addr)
	if !ok {
		b[0] = 0
		return negative(errno.EFAULT)
	}
	return int64(n)
}

// readIntoDynptr makes a function that fills r3 bytes at an offset of a dynptr.
func readIntoDynptr(read reader) Func {
	return func(s *exec.State, r1, r2, r3, r4, _ uint64) uint64 {
		d, offset, n := dynptrAt(r1), uint32(r2), uint32(r3)
		if to := d.writable(s, offset, n); to != 0 {
			return result32(read(s, view(uint64(to), uint64(n)), r4))
		}
		if !d.has(offset, n) {
			return result32(negative(errno.E2BIG))
		}
		return inChunks(s, n, func(b []byte, at uint32) uint64 {
			if e := read(s, b, r4+uint64(at)); e < 0 {
				return result32(e)
			}
			return uint64(uint32(dynptrWrite(s, d, offset+at, b, 0)))
		})
	}
}

// textIntoDynptr is readIntoDynptr for a string, whose length it gives. Where the
// dynptr does not lie in one piece, each part overwrites the NUL of the one before.
func textIntoDynptr(read reader) Func {
	return func(s *exec.State, r1, r2, r3, r4, _ uint64) uint64 {
		d, offset, n := dynptrAt(r1), uint32(r2), uint32(r3)
		if to := d.writable(s, offset, n); to != 0 {
			return result32(read(s, view(uint64(to), uint64(n)), r4))
		}
		if !d.has(offset, n) {
			return result32(negative(errno.E2BIG))
		}
		const chunk = 256
		buf, prov := s.Lend(chunk)
		if buf == nil {
			return result32(negative(errno.ENOMEM))
		}
		defer s.Return(buf, prov)
		for at := uint32(0); at < n; {
			b := buf[:min(chunk, n-at)]
			got := read(s, b, r4+uint64(at))
			if got < 0 {
				return result32(got)
			}
			if e := dynptrWrite(s, d, offset+at, b[:got], 0); e != 0 {
				return uint64(uint32(e))
			}
			if int(got) < len(b) || len(b) == 1 {
				return uint64(at) + uint64(got)
			}
			at += uint32(len(b)) - 1
		}
		return 0
	}
}
