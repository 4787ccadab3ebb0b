package helper

import (
	"math"
	"math/bits"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
)

func init() {
	register(
		&Helper{ID: 105, Name: "bpf_strtol", Func: strtol,
			Args: []Arg{ArgPtrToMem, ArgConstSize, ArgAnything, ArgPtrToLong}},
		&Helper{ID: 106, Name: "bpf_strtoul", Func: strtoul,
			Args: []Arg{ArgPtrToMem, ArgConstSize, ArgAnything, ArgPtrToLong}},
		&Helper{ID: 182, Name: "bpf_strncmp", Func: strncmp,
			Args: []Arg{ArgPtrToMem, ArgConstSize, ArgPtrToConstStr}},
	)
}

func strtol(_ *exec.State, r1, r2, r3, r4, _ uint64) uint64 {
	res := at[int64](r4)
	*res = 0
	v, negative, used, err := parseInteger(view(r1, r2), r3)
	switch {
	case err != 0:
		return err.Ret()
	case negative && v > -math.MinInt64, !negative && v > math.MaxInt64:
		return errno.ERANGE.Ret()
	case negative:
		v = -v
	}
	*res = int64(v)
	return uint64(used)
}

func strtoul(_ *exec.State, r1, r2, r3, r4, _ uint64) uint64 {
	res := at[uint64](r4)
	*res = 0
	v, negative, used, err := parseInteger(view(r1, r2), r3)
	switch {
	case err != 0:
		return err.Ret()
	case negative:
		return errno.EINVAL.Ret()
	}
	*res = v
	return uint64(used)
}

// parseInteger reads a number at the beginning of buf, behind white space and a
// minus sign, in the base that flags names: 8, 10, 16, or 0 for C's prefixes. It
// gives the number, its sign and how many bytes it used.
func parseInteger(buf []byte, flags uint64) (v uint64, negative bool, used int, err errno.Errno) {
	const maxDigits = 63 // more are not looked at
	base := flags
	switch base {
	case 0, 8, 10, 16:
	default:
		return 0, false, 0, errno.EINVAL
	}
	for used < len(buf) && isSpace(buf[used]) {
		used++
	}
	if used < len(buf) && buf[used] == '-' {
		negative = true
		used++
	}
	digits := buf[used:min(len(buf), used+maxDigits)]
	at := func(i int) byte {
		if i < len(digits) {
			return digits[i]
		}
		return 0
	}
	hexPrefix := at(0) == '0' && at(1)|0x20 == 'x'
	if base == 0 {
		switch {
		case hexPrefix && digit(at(2)) < 16:
			base = 16
		case at(0) == '0':
			base = 8
		default:
			base = 10
		}
	}
	i := 0
	if base == 16 && hexPrefix {
		i = 2
	}
	first, overflow := i, false
	for ; digit(at(i)) < base; i++ {
		hi, lo := bits.Mul64(v, base)
		sum, carry := bits.Add64(lo, digit(at(i)), 0)
		overflow = overflow || hi != 0 || carry != 0
		v = sum
	}
	switch {
	case overflow:
		return 0, false, 0, errno.ERANGE
	case i == first:
		return 0, false, 0, errno.EINVAL
	}
	return v, negative, used + i, 0
}

// digit is what a character stands for in any base, or 255.
func digit(c byte) uint64 {
	switch {
	case '0' <= c && c <= '9':
		return uint64(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return uint64(c|0x20-'a') + 10
	}
	return 255
}

// The kernel's ctype, for Latin-1.

func isSpace(c byte) bool { return '\t' <= c && c <= '\r' || c == ' ' || c == 0xa0 }
func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' ||
		c >= 0xc0 && c != 0xd7 && c != 0xf7
}
func isPunct(c byte) bool {
	return 0x21 <= c && c <= 0x7e && !isAlnum(c) || 0xa1 <= c && c <= 0xbf || c == 0xd7 || c == 0xf7
}

func strncmp(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	b := s.Readable(uintptr(r3))
	s1, s2 := view(r1, r2), view(r3, min(uint64(b), r2))
	for i, c1 := range s1 {
		var c2 byte
		if i < len(s2) {
			c2 = s2[i]
		}
		switch {
		case c1 < c2:
			return math.MaxUint64
		case c1 > c2:
			return 1
		case c1 == 0:
			return 0
		}
	}
	return 0
}
