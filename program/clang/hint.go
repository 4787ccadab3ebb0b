package clang

import (
	"regexp"
	"strings"
)

// hints say what to try, by what clang says. The first that fits is given.
var hints = []struct {
	says string // a regular expression, compiled when clang has said something
	try  string
}{
	{`'vmlinux\.h' file not found`,
		`no kernel's types are at hand: name those of the kernel to run on with --btf FILE (a copy of its /sys/kernel/btf/vmlinux)`},
	{`'bpf/(\S+)' file not found`,
		`skep brings bpf_helpers.h, bpf_tracing.h, bpf_core_read.h, bpf_endian.h and usdt.bpf.h`},
	{`'(asm|linux|gnu|sys|net|netinet)/\S+' file not found`,
		`include "vmlinux.h" in place of system headers, or install the kernel's: linux-libc-dev (Debian, Ubuntu), kernel-headers (Fedora)`},
	{`file not found`, `say where it is behind two dashes: -- -I FOLDER`},
	{`unknown type name '(__)?([us](8|16|32|64)|be(16|32|64)|wsum)'`,
		`include "vmlinux.h" before the headers in bpf/: the types come from there`},
	{`undeclared (function|identifier) 'bpf_|implicit declaration of function 'bpf_`,
		`helpers are declared in <bpf/bpf_helpers.h>, kernel functions in "vmlinux.h"`},
	{`undeclared identifier '(ETH_P|TC_ACT|IPPROTO|AF|SOL|SO|O|E|S|PF)_?[A-Z0-9_]*'`,
		`vmlinux.h has types and enums, and no macros: define what you need, as in #define ETH_P_IP 0x0800`},
	{`struct user_(pt_regs|regs_struct)'`,
		`vmlinux.h is of a kernel for another processor: give the types of one for --arch with --btf FILE`},
	{`undeclared identifier '__PT_PARM[678]_REG'`,
		`this processor passes fewer parameters in registers`},
	{`vmlinux\.h:\d+:\d+: (note: previous definition|error: (typedef )?redefinition)`,
		`vmlinux.h has this already: leave the headers in linux/ away`},
	{`(?i)stack limit (of \d+ bytes )?is exceeded|stack size limit`,
		`a program has 512 bytes of stack: keep large variables in a map, such as a per-CPU array`},
	{`built-in function '\w+' is not supported`,
		`there is no C library for BPF: copy and compare a constant number of bytes, or in a loop`},
	{`changed binding to STB_GLOBAL|symbol '\w+' is already defined`,
		`a function cannot have its section's name: rename one`},
	{`too many arg|stack arguments|more than 5 arguments|defined with too many args`,
		`functions in BPF take up to five arguments: pass a pointer to a structure`},
	{`dynamic stack allocation`,
		`arrays on a program's stack have a constant size`},
	{`unsupported signed division`,
		`divide unsigned numbers, or compile for newer kernels: -- -mcpu=v4`},
	{`No available targets are compatible|unknown target triple|unable to create target`,
		"this clang is built without BPF: " + advice()},
}

// hint is what to try, or nothing.
func hint(said string) string {
	said = strings.ReplaceAll(said, "\r\n", "\n")
	for _, h := range hints {
		if regexp.MustCompile(h.says).MatchString(said) {
			return h.try
		}
	}
	return ""
}
