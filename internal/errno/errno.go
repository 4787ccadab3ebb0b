// Package errno has Linux's error numbers, for helpers and maps that must give
// them on every operating system. The numbers are the kernel's on amd64 and
// arm64 (asm-generic/errno.h).
package errno

import "fmt"

// Errno is one of Linux's error numbers, positive.
type Errno uint16

// The error numbers that helpers and maps give.
const (
	EPERM           Errno = 1
	ENOENT          Errno = 2
	ESRCH           Errno = 3
	EINTR           Errno = 4
	EIO             Errno = 5
	E2BIG           Errno = 7
	EBADF           Errno = 9
	EAGAIN          Errno = 11
	ENOMEM          Errno = 12
	EACCES          Errno = 13
	EFAULT          Errno = 14
	EBUSY           Errno = 16
	EEXIST          Errno = 17
	ENODEV          Errno = 19
	EINVAL          Errno = 22
	EMFILE          Errno = 24
	ENOSPC          Errno = 28
	ERANGE          Errno = 34
	EDEADLK         Errno = 35
	ENAMETOOLONG    Errno = 36
	ELOOP           Errno = 40
	ENOMSG          Errno = 42
	ENODATA         Errno = 61
	ETIME           Errno = 62
	ENONET          Errno = 64
	EOVERFLOW       Errno = 75
	EPROTO          Errno = 71
	EBADMSG         Errno = 74
	EMSGSIZE        Errno = 90
	EPROTOTYPE      Errno = 91
	ENOPROTOOPT     Errno = 92
	EPROTONOSUPPORT Errno = 93
	ESOCKTNOSUPPORT Errno = 94
	EOPNOTSUPP      Errno = 95
	EAFNOSUPPORT    Errno = 97
	ENETUNREACH     Errno = 101
	ENOBUFS         Errno = 105
	ETIMEDOUT       Errno = 110
	EALREADY        Errno = 114
	EINPROGRESS     Errno = 115
	ENOTSUPP        Errno = 524 // the kernel's own, not in user space's headers
)

var names = map[Errno]string{
	EPERM: "EPERM", ENOENT: "ENOENT", ESRCH: "ESRCH", EINTR: "EINTR", EIO: "EIO", E2BIG: "E2BIG",
	EBADF: "EBADF", EAGAIN: "EAGAIN", ENOMEM: "ENOMEM", EACCES: "EACCES", EFAULT: "EFAULT",
	EBUSY: "EBUSY", EEXIST: "EEXIST", ENODEV: "ENODEV", EINVAL: "EINVAL", EMFILE: "EMFILE", ENOSPC: "ENOSPC",
	ERANGE: "ERANGE", EDEADLK: "EDEADLK", ENAMETOOLONG: "ENAMETOOLONG", ELOOP: "ELOOP",
	ENODATA: "ENODATA", ETIME: "ETIME", ENONET: "ENONET", EOVERFLOW: "EOVERFLOW", EPROTO: "EPROTO", EBADMSG: "EBADMSG", EMSGSIZE: "EMSGSIZE", EOPNOTSUPP: "EOPNOTSUPP",
	ENOMSG: "ENOMSG", EPROTOTYPE: "EPROTOTYPE", ENOPROTOOPT: "ENOPROTOOPT", EPROTONOSUPPORT: "EPROTONOSUPPORT", ESOCKTNOSUPPORT: "ESOCKTNOSUPPORT",
	EAFNOSUPPORT: "EAFNOSUPPORT", ENETUNREACH: "ENETUNREACH", ENOBUFS: "ENOBUFS", ETIMEDOUT: "ETIMEDOUT", EALREADY: "EALREADY", EINPROGRESS: "EINPROGRESS", ENOTSUPP: "ENOTSUPP",
}

// Error is the number's name, as in the manual pages.
func (e Errno) Error() string {
	if n, ok := names[e]; ok {
		return n
	}
	return fmt.Sprintf("errno %d", uint16(e))
}

// Ret is what a helper returns for the error: the negated number in R0.
func (e Errno) Ret() uint64 { return uint64(-int64(e)) }
