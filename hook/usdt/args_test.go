package usdt

import (
	"debug/elf"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Offsets into struct pt_regs, as /usr/include/asm/ptrace.h has them.
const (
	rbp, rbx, rax, rcx, rip, rsp = 4 * 8, 5 * 8, 10 * 8, 11 * 8, 16 * 8, 19 * 8
	sp                           = 31 * 8
)

func TestArguments(t *testing.T) {
	for _, tc := range []struct {
		machine elf.Machine
		text    string
		want    []Arg
	}{
		{elf.EM_X86_64, "", []Arg{}},
		{elf.EM_X86_64, "-4@%eax 8@%rbx 1@%cl 2@%r9w", []Arg{
			{Kind: Register, Size: 4, Signed: true, Base: rax}, {Kind: Register, Size: 8, Base: rbx},
			{Kind: Register, Size: 1, Base: rcx}, {Kind: Register, Size: 2, Base: 8 * 8},
		}},
		{elf.EM_X86_64, "8@-16(%rbp) -2@(%rsp) 4@0x10(%rax)", []Arg{
			{Kind: Memory, Size: 8, Value: -16, Base: rbp}, {Kind: Memory, Size: 2, Signed: true, Base: rsp},
			{Kind: Memory, Size: 4, Value: 16, Base: rax},
		}},
		{elf.EM_X86_64, "8@$5 -4@$-9 8@$0xffffffffffffffff", []Arg{
			{Size: 8, Value: 5}, {Size: 4, Signed: true, Value: -9}, {Size: 8, Value: -1},
		}},
		{elf.EM_X86_64, "1@-96(%rbp,%rax,8) 1@(%rbp,%rax,4) 1@-96(%rbp,%rax) 1@(%rbp,%rax)", []Arg{
			{Kind: Indexed, Size: 1, Value: -96, Base: rbp, Index: rax, Shift: 3}, {Kind: Indexed, Size: 1, Base: rbp, Index: rax, Shift: 2},
			{Kind: Indexed, Size: 1, Value: -96, Base: rbp, Index: rax}, {Kind: Indexed, Size: 1, Base: rbp, Index: rax},
		}},
		{elf.EM_X86_64, "-4@counter(%rip) 8@counter+16(%rip) 8@40+static.1(%rip)", []Arg{
			{Kind: Memory, Size: 4, Signed: true, Value: 0x3000, Base: rip}, {Kind: Memory, Size: 8, Value: 0x3010, Base: rip},
			{Kind: Memory, Size: 8, Value: 40 - 0x800, Base: rip},
		}},
		{elf.EM_AARCH64, "-4@w0 8@x30 8@sp -4@5 8@#-7", []Arg{
			{Kind: Register, Size: 4, Signed: true}, {Kind: Register, Size: 8, Base: 30 * 8}, {Kind: Register, Size: 8, Base: sp},
			{Size: 4, Signed: true, Value: 5}, {Size: 8, Value: -7},
		}},
		{elf.EM_AARCH64, "8@[sp, 8] 4@[x1] -4@[x2, #-12] 1@[x3,4]", []Arg{
			{Kind: Memory, Size: 8, Value: 8, Base: sp}, {Kind: Memory, Size: 4, Base: 1 * 8},
			{Kind: Memory, Size: 4, Signed: true, Value: -12, Base: 2 * 8}, {Kind: Memory, Size: 1, Value: 4, Base: 3 * 8},
		}},
		{elf.EM_AARCH64, "8@[x1, x2] 8@[x1, x2, lsl 3]", []Arg{
			{Kind: Indexed, Size: 8, Base: 1 * 8, Index: 2 * 8}, {Kind: Indexed, Size: 8, Base: 1 * 8, Index: 2 * 8, Shift: 3},
		}},
	} {
		p := Probe{Provider: "a", Name: "b", Args: tc.text, Address: 0x1000, machine: tc.machine}
		p.symbols = map[string]uint64{"counter": 0x4000, "static.1": 0x800}
		got, err := p.Arguments()
		if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
			t.Errorf("%s %q: %v (-want +got):\n%s", tc.machine, tc.text, err, diff)
		}
	}
}

func TestWrongArguments(t *testing.T) {
	for text, want := range map[string]string{
		"%eax":                               "probe a:b: argument 1, %eax: want size@operand",
		"4@%eax 3@%ebx":                      "argument 2, 3@%ebx: its size is 3",
		"8f@%xmm0":                           "its size is 8f",
		"8@%xmm0":                            "its base xmm0 is none that skep knows",
		"1@%ah":                              "its base ah is none that skep knows",
		"4@counter(%rip)":                    "argument 1, 4@counter(%rip): the file does not say where variable counter is",
		"4@counter(%rax)":                    "skep does not know operands of this form",
		"4@feed(%rip)":                       "the file does not say where variable feed is",
		"4@(%rax,%rbx,3)":                    "its scale 3 is none that skep knows",
		"4@(%rax,%xmm1,4)":                   "its index xmm1 is none that skep knows",
		"8@$0x1234567890abcdef0":             "its value 0x1234567890abcdef0 is none that skep knows",
		strings.Repeat("4@%eax ", MaxArgs+1): "probe a:b has 13 arguments: there may be 12",
	} {
		p := Probe{Provider: "a", Name: "b", Args: text, machine: elf.EM_X86_64}
		if _, err := p.Arguments(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", text, err, want)
		}
	}
	p := Probe{Provider: "a", Name: "b", Args: "4@r3", machine: elf.EM_S390}
	if _, err := p.Arguments(); err == nil || !strings.Contains(err.Error(), "registers of EM_S390, which skep does not know") {
		t.Errorf("another machine: %v", err)
	}
}

func FuzzArguments(f *testing.F) {
	for _, text := range []string{"-4@%eax 8@-16(%rbp) 8@$5 1@-96(%rbp,%rax,8)", "8@[sp, 8] -4@w0 8@[x1, x2, lsl 3] 4@5"} {
		f.Add(text, true)
		f.Add(text, false)
	}
	f.Fuzz(func(t *testing.T, text string, arm bool) {
		p := Probe{Args: text, machine: elf.EM_X86_64}
		if arm {
			p.machine = elf.EM_AARCH64
		}
		args, err := p.Arguments()
		if err != nil {
			return
		}
		for _, a := range args {
			if !slices.Contains([]int{1, 2, 4, 8}, a.Size) || a.Base < 0 || a.Base > sp || a.Index < 0 || a.Index > sp || a.Shift < 0 || a.Shift > 3 {
				t.Errorf("%q gives %+v", text, a)
			}
		}
	})
}
