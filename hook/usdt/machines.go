package usdt

import (
	"debug/elf"
	"fmt"
)

const (
	number   = `(?P<value>[+-]?(?:0x[0-9a-fA-F]+|\d+))`
	variable = `(?P<variable>[A-Za-z_.$][\w.$]*)`
)

// syntaxes are the machines' whose arguments skep reads.
var syntaxes = map[elf.Machine]*syntax{
	elf.EM_X86_64: {
		forms: []form{
			operand(Constant, `\$`+number),
			operand(Register, `%(?P<base>\w+)`),
			operand(Memory, number+`?\(%(?P<base>\w+)\)`),
			operand(Memory, variable+`(?P<value>[+-]\d+)?\(%(?P<base>rip)\)`),
			operand(Memory, number+`\+`+variable+`\(%(?P<base>rip)\)`),
			operand(Indexed, number+`?\(%(?P<base>\w+),%(?P<index>\w+)(?:,(?P<scale>\d+))?\)`),
		},
		registers: amd64Registers(),
		shift:     scaleShift,
	},
	elf.EM_AARCH64: {
		forms: []form{
			operand(Constant, `#?`+number),
			operand(Register, `(?P<base>[wx]\d+|sp)`),
			operand(Memory, `\[(?P<base>x\d+|sp)(?:, *#?`+number+`)?\]`),
			operand(Indexed, `\[(?P<base>x\d+|sp), *(?P<index>x\d+)(?:, *lsl #?(?P<scale>\d))?\]`),
		},
		registers: arm64Registers(),
		shift:     plainShift,
	},
}

// amd64Registers are the registers by all their names. Of ah, bh, ch and dh there is no
// telling: an argument begins at a register's lowest bit.
func amd64Registers() map[string]int {
	const word = 8
	all := make(map[string]int)
	// In the order of struct pt_regs; the syscall's number follows rdi.
	for i, names := range [][4]string{
		{"r15", "r15d", "r15w", "r15b"}, {"r14", "r14d", "r14w", "r14b"},
		{"r13", "r13d", "r13w", "r13b"}, {"r12", "r12d", "r12w", "r12b"},
		{"rbp", "ebp", "bp", "bpl"}, {"rbx", "ebx", "bx", "bl"},
		{"r11", "r11d", "r11w", "r11b"}, {"r10", "r10d", "r10w", "r10b"},
		{"r9", "r9d", "r9w", "r9b"}, {"r8", "r8d", "r8w", "r8b"},
		{"rax", "eax", "ax", "al"}, {"rcx", "ecx", "cx", "cl"},
		{"rdx", "edx", "dx", "dl"}, {"rsi", "esi", "si", "sil"},
		{"rdi", "edi", "di", "dil"},
	} {
		for _, name := range names {
			all[name] = i * word
		}
	}
	for _, name := range []string{"rip", "eip", "ip"} {
		all[name] = 16 * word
	}
	for _, name := range []string{"rsp", "esp", "sp", "spl"} {
		all[name] = 19 * word
	}
	return all
}

// arm64Registers are the registers by all their names.
func arm64Registers() map[string]int {
	const word = 8
	all := map[string]int{"sp": 31 * word}
	for i := range 31 {
		all[fmt.Sprintf("x%d", i)], all[fmt.Sprintf("w%d", i)] = i*word, i*word
	}
	return all
}
