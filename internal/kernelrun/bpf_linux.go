//go:build linux && (amd64 || arm64)

package kernelrun

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/internal/errno"
)

// bpf is the system call. attr is one of the attr structs of this package,
// whose fields lie as in union bpf_attr on 64-bit machines. Errors are
// [errno.Errno] values, as the machine's are.
func bpf[T any](cmd int, attr *T) (int, error) {
	for {
		r, _, e := unix.Syscall(unix.SYS_BPF, uintptr(cmd), uintptr(unsafe.Pointer(attr)), unsafe.Sizeof(*attr))
		switch e {
		case 0:
			return int(r), nil
		case unix.EAGAIN, unix.EINTR: // a signal, such as the runtime's, ended the verifier early
			continue
		}
		return 0, errno.Errno(e)
	}
}

// pointer gives the address of a slice's memory, which may be none.
func pointer[T any](s []T) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(s)) }
