package errno

import "syscall"

// Is makes errors.Is(err, unix.EINVAL) hold, so that code written against
// cilium/ebpf works unchanged.
func (e Errno) Is(target error) bool {
	t, ok := target.(syscall.Errno)
	return ok && uint64(t) == uint64(e)
}
