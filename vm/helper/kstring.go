package helper

import (
	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/exec"
)

// stringMax is how far the functions on strings look (XATTR_SIZE_MAX).
const stringMax = 65536

func init() {
	two := []Arg{ArgAnything, ArgAnything}
	three := []Arg{ArgAnything, ArgAnything, ArgAnything}
	registerKfuncs("6.17",
		&Helper{Name: "bpf_strcmp", Func: compare(false, false), Args: two},
		&Helper{Name: "bpf_strchr", Func: onString(func(b str, c, _ uint64) int64 { return b.index(byte(c), stringMax) }), Args: two},
		&Helper{Name: "bpf_strchrnul", Func: onString(strchrnul), Args: two},
		&Helper{Name: "bpf_strnchr", Func: onString(func(b str, n, c uint64) int64 { return b.index(byte(c), n) }), Args: three},
		&Helper{Name: "bpf_strrchr", Func: onString(strrchr), Args: two},
		&Helper{Name: "bpf_strlen", Func: onString(func(b str, _, _ uint64) int64 { return b.length(stringMax) }), Args: two[:1]},
		&Helper{Name: "bpf_strnlen", Func: onString(func(b str, n, _ uint64) int64 { return b.length(n) }), Args: two},
		&Helper{Name: "bpf_strspn", Func: span(true), Args: two},
		&Helper{Name: "bpf_strcspn", Func: span(false), Args: two},
		&Helper{Name: "bpf_strstr", Func: find(false, false), Args: two},
		&Helper{Name: "bpf_strnstr", Func: find(true, false), Args: three},
	)
	registerKfuncs("6.18", &Helper{Name: "bpf_strcasecmp", Func: compare(true, false), Args: two})
	registerKfuncs("6.19",
		&Helper{Name: "bpf_strcasestr", Func: find(false, true), Args: two},
		&Helper{Name: "bpf_strncasestr", Func: find(true, true), Args: three},
	)
	registerKfuncs("7.0", &Helper{Name: "bpf_strncasecmp", Func: compare(true, true), Args: three})
}

// str is the memory from a string's first byte on, as far as there is any.
type str []byte

// stringAt is the string at an address, or the error of an address that no
// kernel string has.
func stringAt(s *exec.State, addr uint64) (str, errno.Errno) {
	// Below, Linux has user space's addresses, which these functions refuse. The
	// machine's own memory may lie there.
	const kernelHalf = 1 << 63
	n := min(s.Readable(uintptr(addr)), stringMax)
	if n == 0 && addr < kernelHalf {
		return nil, errno.ERANGE
	}
	return mem.View(uintptr(addr), int(n)), 0
}

// negative is an error as a result.
func negative(e errno.Errno) int64 { return -int64(e) }

// at gives byte i; bytes behind the memory are a fault.
func (b str) at(i uint64) (byte, bool) {
	if i >= uint64(len(b)) {
		return 0, false
	}
	return b[i], true
}

// length is the number of bytes before the end, at most n.
func (b str) length(n uint64) int64 {
	for i := range min(n, stringMax) {
		switch c, ok := b.at(i); {
		case !ok:
			return negative(errno.EFAULT)
		case c == 0:
			return int64(i)
		}
	}
	if n >= stringMax {
		return negative(errno.E2BIG)
	}
	return int64(n)
}

// index is where c is in the first n bytes. The end counts as a byte.
func (b str) index(c byte, n uint64) int64 {
	for i := range min(n, stringMax) {
		switch at, ok := b.at(i); {
		case !ok:
			return negative(errno.EFAULT)
		case at == c:
			return int64(i)
		case at == 0:
			return negative(errno.ENOENT)
		}
	}
	if n >= stringMax {
		return negative(errno.E2BIG)
	}
	return negative(errno.ENOENT)
}

// onString is a function of one string and up to two numbers.
func onString(f func(b str, x, y uint64) int64) Func {
	return func(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
		b, err := stringAt(s, r1)
		if err != 0 {
			return result32(negative(err))
		}
		return result32(f(b, r2, r3))
	}
}

// result32 is an int as a kernel function returns it.
func result32(v int64) uint64 { return uint64(uint32(v)) }

func strchrnul(b str, c, _ uint64) int64 {
	for i := range uint64(stringMax) {
		switch at, ok := b.at(i); {
		case !ok:
			return negative(errno.EFAULT)
		case at == 0 || at == byte(c):
			return int64(i)
		}
	}
	return negative(errno.E2BIG)
}

func strrchr(b str, c, _ uint64) int64 {
	last := negative(errno.ENOENT)
	for i := range uint64(stringMax) {
		at, ok := b.at(i)
		if !ok {
			return negative(errno.EFAULT)
		}
		if at == byte(c) {
			last = int64(i)
		}
		if at == 0 {
			return last
		}
	}
	return negative(errno.E2BIG)
}

// onStrings is a function of two strings and a number.
func onStrings(f func(a, b str, n uint64) int64) Func {
	return func(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
		a, err := stringAt(s, r1)
		b, err2 := stringAt(s, r2)
		if err != 0 || err2 != 0 {
			return result32(negative(errno.ERANGE))
		}
		return result32(f(a, b, r3))
	}
}

// lower is a letter in lower case, as Linux has it: in Latin-1.
func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' || 0xc0 <= c && c <= 0xde && c != 0xd7 {
		return c + 'a' - 'A'
	}
	return c
}

// compare is -1, 0 or 1.
func compare(ignoreCase, limited bool) Func {
	return onStrings(func(a, b str, n uint64) int64 {
		if !limited {
			n = stringMax
		}
		for i := range min(n, stringMax) {
			x, ok := a.at(i)
			y, ok2 := b.at(i)
			if !ok || !ok2 {
				return negative(errno.EFAULT)
			}
			if ignoreCase {
				x, y = lower(x), lower(y)
			}
			switch {
			case x < y:
				return -1
			case x > y:
				return 1
			case x == 0:
				return 0
			}
		}
		if n >= stringMax {
			return negative(errno.E2BIG)
		}
		return 0
	})
}

// span counts the first bytes of a that are, or are not, in set.
func span(in bool) Func {
	return onStrings(func(a, set str, _ uint64) int64 {
		for i := range uint64(stringMax) {
			c, ok := a.at(i)
			switch {
			case !ok:
				return negative(errno.EFAULT)
			case c == 0:
				return int64(i)
			}
			switch at := set.index(c, stringMax); {
			case at == negative(errno.ENOENT):
				if in {
					return int64(i)
				}
			case at < 0:
				return at
			case !in:
				return int64(i)
			}
		}
		return negative(errno.E2BIG)
	})
}

// find gives where b begins in a, of which at most n bytes are looked at.
func find(limited, ignoreCase bool) Func {
	return onStrings(func(a, b str, n uint64) int64 {
		if !limited {
			n = stringMax
		}
		for i := range uint64(stringMax) {
			j := uint64(0)
			for ; i+j <= n && j < stringMax; j++ {
				y, ok := b.at(j)
				if !ok {
					return negative(errno.EFAULT)
				}
				if y == 0 {
					return int64(i)
				}
				if i+j == n {
					break
				}
				x, ok := a.at(i + j)
				if !ok {
					return negative(errno.EFAULT)
				}
				if ignoreCase {
					x, y = lower(x), lower(y)
				}
				if x == 0 {
					return negative(errno.ENOENT)
				}
				if x != y {
					break
				}
			}
			if j == stringMax {
				return negative(errno.E2BIG)
			}
			if i+j == n {
				return negative(errno.ENOENT)
			}
		}
		return negative(errno.E2BIG)
	})
}
