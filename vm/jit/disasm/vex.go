package disasm

import "fmt"

// vexForm is how an instruction with a VEX prefix is written.
type vexForm struct {
	name string
	// args are its operands in GNU's order: r and m for those in these fields of ModRM,
	// v for the one in the prefix, i for a number of a byte.
	args string
}

// vexForms are those instructions of BMI2 that the JIT uses, by opcode map, prefix and
// opcode. The library does not know them.
var vexForms = map[[3]byte]vexForm{
	{2, 1, 0xf7}: {"shlx", "vmr"},
	{2, 2, 0xf7}: {"sarx", "vmr"},
	{2, 3, 0xf7}: {"shrx", "vmr"},
	{2, 3, 0xf6}: {"mulx", "mvr"},
	{3, 3, 0xf0}: {"rorx", "imr"},
}

// vex reads such an instruction on registers, and gives its length; 0: it is none.
func vex(b []byte) (int, string) {
	if len(b) < 5 || b[0] != 0xc4 || b[4] < 0xc0 {
		return 0, ""
	}
	form, ok := vexForms[[3]byte{b[1] & 31, b[2] & 3, b[3]}]
	if !ok {
		return 0, ""
	}
	fields := map[rune]byte{
		'r': b[4]>>3&7 | ^b[1]>>4&8,
		'm': b[4]&7 | ^b[1]>>2&8,
		'v': ^b[2] >> 3 & 15,
	}
	n, text := 5, form.name
	sep := " "
	for _, arg := range form.args {
		if arg == 'i' {
			if len(b) < 6 {
				return 0, ""
			}
			n = 6
			text += fmt.Sprintf("%s$%#x", sep, b[5])
		} else {
			text += sep + "%" + registerName(fields[arg], b[2]&0x80 != 0)
		}
		sep = ","
	}
	return n, text
}

// registerName is that of a general register, of 8 bytes if it is wide and of 4 otherwise.
func registerName(r byte, wide bool) string {
	switch {
	case r < 8 && wide:
		return "r" + [...]string{"ax", "cx", "dx", "bx", "sp", "bp", "si", "di"}[r]
	case r < 8:
		return "e" + [...]string{"ax", "cx", "dx", "bx", "sp", "bp", "si", "di"}[r]
	case wide:
		return fmt.Sprintf("r%d", r)
	}
	return fmt.Sprintf("r%dd", r)
}
