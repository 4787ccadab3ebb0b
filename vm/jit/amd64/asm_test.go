package amd64

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/arch/x86/x86asm"

	"github.com/skep-ebpf/skep/vm/jit/disasm"
	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// names are the registers' names by how many bytes of them count.
var names = map[uint8][]string{
	8: {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"},
	4: {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "r8d", "r9d", "r10d", "r11d", "r12d", "r13d", "r14d", "r15d"},
	2: {"ax", "cx", "dx", "bx", "sp", "bp", "si", "di", "r8w", "r9w", "r10w", "r11w", "r12w", "r13w", "r14w", "r15w"},
	1: {"al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil", "r8b", "r9b", "r10b", "r11b", "r12b", "r13b", "r14b", "r15b"},
}

// reads is what a disassembler makes of what write writes.
func reads(write func(*asm)) string {
	a := &asm{}
	a.room(roomy)
	write(a)
	var text []string
	for off := 0; off < a.n; {
		inst, err := x86asm.Decode(a.code[off:a.n], 64)
		if err != nil {
			return fmt.Sprintf("% x: %v", a.code[:a.n], err)
		}
		text = append(text, x86asm.IntelSyntax(inst, 0, nil))
		off += inst.Len
	}
	return strings.Join(text, "; ")
}

func read(t *testing.T, want string, write func(*asm)) {
	t.Helper()
	if got := reads(write); got != want {
		t.Errorf("%q should be %q", got, want)
	}
}

// TestRegisters writes the forms on two registers, and on one, with all of them.
func TestRegisters(t *testing.T) {
	// What a form reads as; %0 and %1 are the registers in the reg and r/m fields.
	two := map[opcode]string{
		dAdd<<3 | 1: "add %1, %0", dOr<<3 | 1: "or %1, %0", dAnd<<3 | 1: "and %1, %0",
		dSub<<3 | 1: "sub %1, %0", dXor<<3 | 1: "xor %1, %0", dCmp<<3 | 1: "cmp %1, %0",
		opTest: "test %1, %0", opXchg: "xchg %1, %0", opStore: "mov %1, %0", opLoad: "mov %0, %1", opImulRM: "imul %0, %1",
	}
	for size := uint8(4); size <= 8; size += 4 {
		n := names[size]
		for reg := rax; reg <= r15; reg++ {
			for rm := rax; rm <= r15; rm++ {
				for o, form := range two {
					if o == opXchg && reg == rax && rm == rax {
						continue // reads as what it is, nothing
					}
					want := strings.NewReplacer("%0", n[reg], "%1", n[rm]).Replace(form)
					read(t, want, func(a *asm) { a.rr(o, size, reg, rm) })
				}
				read(t, "movzx "+names[4][reg]+", "+names[1][rm], func(a *asm) { a.zext(1, reg, rm) })
				read(t, "movzx "+names[4][reg]+", "+names[2][rm], func(a *asm) { a.zext(2, reg, rm) })
				read(t, "movsx "+n[reg]+", "+names[1][rm], func(a *asm) { a.rr(opMovsx8, size, reg, rm) })
				read(t, "movsx "+n[reg]+", "+names[2][rm], func(a *asm) { a.rr(opMovsx16, size, reg, rm) })
				read(t, "movsxd "+names[8][reg]+", "+names[4][rm], func(a *asm) { a.rr(opMovsxd, 8, reg, rm) })
				read(t, "test "+names[1][rm]+", "+names[1][reg], func(a *asm) { a.rr(opTest8, 4, reg, rm) })
			}
			r := n[reg]
			for digit, name := range map[ir.Reg]string{dNot: "not", dNeg: "neg", dMul: "mul", dDiv: "div", dIdiv: "idiv"} {
				read(t, name+" "+r, func(a *asm) { a.rr(opGroup3, size, digit, reg) })
			}
			for digit, name := range map[ir.Reg]string{dRol: "rol", dRor: "ror", dShr: "shr", dSar: "sar"} {
				read(t, name+" "+r+", 0x1", func(a *asm) { a.shiftImm(size, digit, reg, 1) })
				read(t, name+" "+r+", 0x1f", func(a *asm) { a.shiftImm(size, digit, reg, 31) })
				read(t, name+" "+r+", cl", func(a *asm) { a.rr(opShiftCL, size, digit, reg) })
			}
			for digit, name := range map[ir.Reg]string{dBt: "bt", dBts: "bts", dBtr: "btr", dBtc: "btc"} {
				read(t, name+" "+r+", 0x7", func(a *asm) { a.rr(opBt, size, digit, reg); a.put(7, 1) })
			}
			read(t, "bswap "+r, func(a *asm) { a.head(opBswap+opcode(reg&7), size, 0, 0, reg, false) })
			read(t, "push "+names[8][reg], func(a *asm) { a.push(reg) })
			read(t, "pop "+names[8][reg], func(a *asm) { a.pop(reg) })
		}
	}
}

// TestNumbers writes the forms with numbers, and wants the shortest one.
func TestNumbers(t *testing.T) {
	type form struct {
		bytes [3]int // with a register that has a short form, that has none, or that takes a prefix
		text  string
		write func(*asm, ir.Reg)
	}
	for _, f := range []form{
		{[3]int{2, 2, 3}, "xor %4, %4", func(a *asm, r ir.Reg) { a.constant(r, 0) }},
		{[3]int{5, 5, 6}, "mov %4, 0x1", func(a *asm, r ir.Reg) { a.constant(r, 1) }},
		{[3]int{5, 5, 6}, "mov %4, -0x80000000", func(a *asm, r ir.Reg) { a.constant(r, 1<<31) }},
		{[3]int{7, 7, 7}, "mov %8, -0x1", func(a *asm, r ir.Reg) { a.constant(r, -1) }},
		{[3]int{10, 10, 10}, "mov %8, 0x100000000", func(a *asm, r ir.Reg) { a.constant(r, 1<<32) }},
		{[3]int{3, 3, 3}, "inc %8", func(a *asm, r ir.Reg) { a.addImm(8, r, 1) }},
		{[3]int{2, 2, 3}, "dec %4", func(a *asm, r ir.Reg) { a.addImm(4, r, -1) }},
		{[3]int{4, 4, 4}, "add %8, 0x7f", func(a *asm, r ir.Reg) { a.addImm(8, r, 127) }},
		{[3]int{4, 4, 4}, "sub %8, -0x80", func(a *asm, r ir.Reg) { a.addImm(8, r, 128) }},
		{[3]int{6, 7, 7}, "add %8, 0x81", func(a *asm, r ir.Reg) { a.addImm(8, r, 129) }},
		{[3]int{5, 6, 7}, "and %4, 0x1234", func(a *asm, r ir.Reg) { a.group1(dAnd, 4, r, 0x1234) }},
		{[3]int{5, 6, 7}, "test %4, 0x1234", func(a *asm, r ir.Reg) { a.testImm32(4, r, 0x1234) }},
	} {
		for kind, r := range []ir.Reg{rax, rcx, r13} {
			want := strings.NewReplacer("%4", names[4][r], "%8", names[8][r]).Replace(f.text)
			read(t, want, func(a *asm) { f.write(a, r) })
			a := &asm{}
			a.room(roomy)
			if f.write(a, r); a.n != f.bytes[kind] {
				t.Errorf("%s takes %d bytes, not %d", want, a.n, f.bytes[kind])
			}
		}
	}
}

// TestAddresses writes all kinds of operands in memory.
func TestAddresses(t *testing.T) {
	forms := []struct {
		text  string // with R15 for the operand
		write func(*asm, address)
	}{
		{"mov qword ptr [r15], rsi", func(a *asm, m address) { a.rm(opStore, 8, rsi, m) }},
		{"mov byte ptr [r15], sil", func(a *asm, m address) { a.rm(opStore8, 4, rsi, m) }},
		{"mov r9w, word ptr [r15]", func(a *asm, m address) { a.rm(half|opLoad, 4, r9, m) }},
		{"movzx edx, byte ptr [r15]", func(a *asm, m address) { a.rm(opMovzx8, 4, rdx, m) }},
		{"lock xadd dword ptr [r15], r10d", func(a *asm, m address) { a.rm(lock|opXadd, 4, r10, m) }},
		{"mov word ptr [r15], 0x1234", func(a *asm, m address) { a.storeImm(2, m, 0x1234) }},
	}
	for base := rax; base <= r15; base++ {
		for index := rax; index <= r15; index++ {
			for _, disp := range []int32{0, 1, -1, 127, -128, 128, -129, 1 << 30} {
				m := address{base: base, index: index, scale: uint8(base) % 4, disp: disp}
				want := x86asm.Mem{Base: x86asm.RAX + x86asm.Reg(base), Index: x86asm.RAX + x86asm.Reg(index), Scale: 1 << m.scale, Disp: int64(disp)}
				if index == rsp { // cannot be one
					m.index, m.scale, want.Index, want.Scale = ir.NoReg, 0, 0, 0
				}
				for _, f := range forms {
					a := &asm{}
					a.room(roomy)
					f.write(a, m)
					inst, err := x86asm.Decode(a.code[:a.n], 64)
					if err != nil || inst.Len != a.n {
						t.Errorf("% x for %s of %+v: %v", a.code[:a.n], f.text, want, err)
						continue
					}
					for k, arg := range inst.Args {
						if got, ok := arg.(x86asm.Mem); ok {
							got.Disp = int64(int32(got.Disp))
							if got.Index == 0 {
								got.Scale = 0
							}
							if got != want {
								t.Errorf("% x for %s: %+v, not %+v", a.code[:a.n], f.text, got, want)
							}
							inst.Args[k] = x86asm.Mem{Base: x86asm.R15}
						}
					}
					if got := x86asm.IntelSyntax(inst, 0, nil); got != f.text {
						t.Errorf("% x: %s, not %s", a.code[:a.n], got, f.text)
					}
				}
			}
		}
	}
}

// TestBMI2 writes what takes any three registers.
func TestBMI2(t *testing.T) {
	for size := uint8(4); size <= 8; size += 4 {
		n := names[size]
		for d := rax; d <= r15; d++ {
			for x := rax; x <= r15; x++ {
				for y := rax; y <= r15; y++ {
					e := &Emitter{}
					e.begin(0)
					e.vex(map38, vex66, 0xf7, size, d, y, x)
					e.vex(map38, vexF2, 0xf6, size, d, y, x)
					e.vex(map3a, vexF2, 0xf0, size, d, 0, x)
					e.put(9, 1)
					want := []string{
						fmt.Sprintf("shlx %%%s,%%%s,%%%s", n[y], n[x], n[d]),
						fmt.Sprintf("mulx %%%s,%%%s,%%%s", n[x], n[y], n[d]),
						fmt.Sprintf("rorx $0x9,%%%s,%%%s", n[x], n[d]),
					}
					lines, err := disasm.Lines(&ir.Code{Bytes: e.code[:e.n]}, "amd64")
					if err != nil {
						t.Fatal(err)
					}
					for k, l := range lines {
						if k >= len(want) || l.Text != want[k] {
							t.Errorf("% x reads as %s", l.Bytes, l.Text)
						}
					}
				}
			}
		}
	}
}
