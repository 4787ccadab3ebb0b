package program

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/cilium/ebpf/btf"
)

// parseInt reads a decimal, hexadecimal (0x), octal (0) or binary (0b) number
// that must fit into size bytes.
func parseInt(text string, size int, signed bool) (uint64, error) {
	var v uint64
	var err error
	if signed {
		var i int64
		i, err = strconv.ParseInt(text, 0, size*8)
		v = uint64(i)
	} else {
		v, err = strconv.ParseUint(text, 0, size*8)
	}
	if err == nil {
		return v, nil
	}
	lo, hi := "0", strconv.FormatUint(1<<(size*8)-1, 10)
	if signed {
		lo, hi = strconv.FormatInt(-1<<(size*8-1), 10), strconv.FormatUint(1<<(size*8-1)-1, 10)
	}
	return 0, fmt.Errorf("%q is not a number from %s to %s", text, lo, hi)
}

// typeName is a type as C would name it.
func typeName(typ btf.Type) string {
	return strings.TrimSpace(fmt.Sprint(typ))
}
