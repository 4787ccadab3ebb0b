// Package disasm reads the machine code that the JIT makes.
package disasm

import (
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/arch/arm64/arm64asm"
	"golang.org/x/arch/x86/x86asm"

	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// Line is an instruction of a processor.
type Line struct {
	Offset int    // into the program's code
	At     int    // the instruction of the bytecode that it is for; -1: none
	Bytes  []byte // of the code
	Text   string // in GNU's syntax
}

// Lines gives a program's machine code for an architecture (a GOARCH).
func Lines(code *ir.Code, arch string) ([]Line, error) {
	decode := map[string]func(b []byte, pc int) (int, string){"amd64": amd64, "arm64": arm64}[arch]
	if decode == nil {
		return nil, fmt.Errorf("machine code for %s cannot be read", arch)
	}
	var lines []Line
	marks, at := code.Lines, -1
	for pc := 0; pc < len(code.Bytes); {
		for len(marks) > 0 && int(marks[0].Off) <= pc {
			at, marks = int(marks[0].At), marks[1:]
		}
		n, text := decode(code.Bytes[pc:], pc)
		lines = append(lines, Line{pc, at, code.Bytes[pc : pc+n], text})
		pc += n
	}
	return lines, nil
}

// amd64 reads an instruction at an offset, and gives its length in bytes.
func amd64(b []byte, pc int) (int, string) {
	if n, text := vex(b); n > 0 {
		return n, text
	}
	ins, err := x86asm.Decode(b, 64)
	if err != nil || ins.Len == 0 {
		return 1, fmt.Sprintf(".byte 0x%02x", b[0])
	}
	return ins.Len, x86asm.GNUSyntax(ins, uint64(pc), nil)
}

func arm64(b []byte, pc int) (int, string) {
	if len(b) < 4 {
		return len(b), fmt.Sprintf(".byte % x", b)
	}
	if text := lse(binary.LittleEndian.Uint32(b)); text != "" {
		return 4, text
	}
	ins, err := arm64asm.Decode(b)
	if err != nil {
		return 4, fmt.Sprintf(".inst 0x%02x%02x%02x%02x", b[3], b[2], b[1], b[0])
	}
	text := arm64asm.GNUSyntax(ins)
	for _, arg := range ins.Args {
		if to, ok := arg.(arm64asm.PCRel); ok { // which the library leaves relative
			text = strings.Replace(text, strings.ToLower(to.String()), fmt.Sprintf("%#x", int64(pc)+int64(to)), 1)
		}
	}
	return 4, text
}
