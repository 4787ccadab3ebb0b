package report

import (
	"fmt"
	"strings"
)

// MachineCode is what a program was compiled to.
type MachineCode struct {
	Arch  string
	Bytes int
	// Of is the code of each instruction of the bytecode, in the order in which it
	// lies; that of -1 belongs to none.
	Of map[int][]MachineInsn
}

// MachineInsn is an instruction of a processor.
type MachineInsn struct {
	Offset int // in bytes, into the program's code
	Bytes  []byte
	Text   string
}

// codeColumn is where machine code stands beside bytecode.
const codeColumn = 56

// beside appends machine code to a line that begins at dst[start:], and gives it
// lines of its own where there is more than one instruction.
func beside(dst []byte, start int, code []MachineInsn) []byte {
	for i, ins := range code {
		if i > 0 {
			dst = append(dst, '\n')
			start = len(dst)
		}
		dst = append(dst, strings.Repeat(" ", max(codeColumn-(len(dst)-start), 2))...)
		dst = fmt.Appendf(dst, "%6x: %s", ins.Offset, ins.Text)
	}
	return dst
}

// appendTitle says how much code there is, and shows what belongs to no
// instruction of the program.
func (m *MachineCode) appendTitle(dst []byte, insns int) []byte {
	dst = fmt.Appendf(dst, "  %d instructions of bytecode, %d bytes of %s code\n", insns, m.Bytes, m.Arch)
	if own := m.Of[-1]; len(own) > 0 {
		dst = append(dst, "  how Go and native code change places, and routines of skep's own:"...)
		dst = append(beside(append(dst, '\n'), len(dst)+1, own), '\n')
	}
	return dst
}

type listedCode struct {
	Offset int    `json:"offset"`
	Bytes  string `json:"bytes"`
	Text   string `json:"text"`
}

func listCode(code []MachineInsn) (all []listedCode) {
	for _, ins := range code {
		all = append(all, listedCode{ins.Offset, fmt.Sprintf("%x", ins.Bytes), ins.Text})
	}
	return all
}
