package disasm

import "fmt"

// lse reads the atomic instructions of Armv8.1 that the library does not know; "" is
// another one.
func lse(w uint32) string {
	names := map[uint32]string{0: "add", 1: "clr", 2: "eor", 3: "set"}
	var name string
	acquire, release := w>>23&1 == 1, w>>22&1 == 1
	plain := w&0x1f == 31 && !acquire // nothing is asked of what was there
	switch op := w >> 12 & 0xf; {
	case w&0x3fa07c00 == 0x08a07c00:
		name, acquire, release, plain = "cas", w>>22&1 == 1, w>>15&1 == 1, false
	case w&0x3f200c00 != 0x38200000:
		return ""
	case op == 8:
		name, plain = "swp", false
	case names[op] == "":
		return ""
	case plain:
		name = "st" + names[op]
	default:
		name = "ld" + names[op]
	}
	if acquire {
		name += "a"
	}
	if release {
		name += "l"
	}
	r := "w"
	switch w >> 30 {
	case 0:
		name += "b"
	case 1:
		name += "h"
	case 3:
		r = "x"
	}
	base := fmt.Sprintf("x%d", w>>5&31)
	if w>>5&31 == 31 {
		base = "sp"
	}
	if plain {
		return fmt.Sprintf("%s %s, [%s]", name, register(r, w>>16), base)
	}
	return fmt.Sprintf("%s %s, %s, [%s]", name, register(r, w>>16), register(r, w), base)
}

// register names the one whose number is in the lower bits.
func register(kind string, n uint32) string {
	if n &= 31; n < 31 {
		return fmt.Sprintf("%s%d", kind, n)
	}
	return kind + "zr"
}
