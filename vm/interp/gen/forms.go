package main

import "fmt"

// form is one form of an instruction: what Compile recognises and what the loops
// do for it.
type form struct {
	name string // of its code: "AddK64"
	op   string // opcode, an expression of package isa; "" where Compile chooses the form
	// variant tells apart the forms of one opcode: Off of divisions and moves, Imm
	// of byte swaps and atomics.
	variant string
	// body is what the form does. $D and $S are its registers, $K its immediate,
	// $A the address it accesses.
	body string
	prov prov
	// size is the width of a memory access in bytes, access its kind.
	size   int
	access access
	// only is the loop that has the form, where not both have.
	only mode
}

// prov is what a form does to where its destination came from.
type prov uint8

const (
	number prov = iota // the result is a number
	keep               // as before
	copied             // as the source
	added
	subtracted
	own // the body does it
)

type access uint8

const (
	none access = iota
	load
	store
	atomic
)

type mode uint8

const (
	both mode = iota
	fast
	checked
)

// forms is the instruction set.
func forms() []form {
	var all []form
	all = append(all, arithmetic()...)
	all = append(all, moves()...)
	all = append(all, jumps()...)
	all = append(all, memory()...)
	all = append(all, atomics()...)
	all = append(all, control()...)
	return all
}

// arithmetic is the forms of ALU and ALU64 but for moves.
func arithmetic() []form {
	ops := []struct {
		name, op, variant string
		wide, narrow      string // 64 and 32 bits; a is the destination, b the operand
		prov              prov   // of the wide form with a register
	}{
		{"Add", "AluADD", "0", "a + b", "a + b", added},
		{"Sub", "AluSUB", "0", "a - b", "a - b", subtracted},
		{"Mul", "AluMUL", "0", "a * b", "a * b", number},
		{"Div", "AluDIV", "0", "div64(a, b)", "div32(a, b)", number},
		{"Sdiv", "AluDIV", "1", "sdiv64(a, b)", "sdiv32(a, b)", number},
		{"Mod", "AluMOD", "0", "mod64(a, b)", "mod32(a, b)", number},
		{"Smod", "AluMOD", "1", "smod64(a, b)", "smod32(a, b)", number},
		{"Or", "AluOR", "0", "a | b", "a | b", number},
		{"And", "AluAND", "0", "a & b", "a & b", number},
		{"Xor", "AluXOR", "0", "a ^ b", "a ^ b", number},
		{"Lsh", "AluLSH", "0", "a << (b & 63)", "a << (b & 31)", number},
		{"Rsh", "AluRSH", "0", "a >> (b & 63)", "a >> (b & 31)", number},
		{"Arsh", "AluARSH", "0", "uint64(int64(a) >> (b & 63))", "uint32(int32(a) >> (b & 31))", number},
	}
	var all []form
	for _, o := range ops {
		withK := number
		if o.prov != number {
			withK = keep
		}
		all = append(all,
			form{name: o.name + "K64", op: "ClassALU64|isa.SrcK|isa." + o.op, variant: o.variant, body: "$D = " + operands(o.wide, "$D", "$K"), prov: withK},
			form{name: o.name + "X64", op: "ClassALU64|isa.SrcX|isa." + o.op, variant: o.variant, body: "$D = " + operands(o.wide, "$D", "$S"), prov: o.prov},
			form{name: o.name + "K32", op: "ClassALU|isa.SrcK|isa." + o.op, variant: o.variant, body: "$D = uint64(" + operands(o.narrow, "uint32($D)", "uint32($K)") + ")"},
			form{name: o.name + "X32", op: "ClassALU|isa.SrcX|isa." + o.op, variant: o.variant, body: "$D = uint64(" + operands(o.narrow, "uint32($D)", "uint32($S)") + ")"},
		)
	}
	return append(all,
		form{name: "Neg64", op: "ClassALU64|isa.AluNEG", variant: "0", body: "$D = -$D"},
		form{name: "Neg32", op: "ClassALU|isa.AluNEG", variant: "0", body: "$D = uint64(-uint32($D))"},
	)
}

// operands puts a and b into an expression; they stand alone in it.
func operands(expr, a, b string) string {
	out := ""
	for i := 0; i < len(expr); i++ {
		alone := (i == 0 || !letter(expr[i-1])) && (i+1 == len(expr) || !letter(expr[i+1]))
		switch {
		case alone && expr[i] == 'a':
			out += a
		case alone && expr[i] == 'b':
			out += b
		default:
			out += expr[i : i+1]
		}
	}
	return out
}

func letter(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

// moves is what sets a register from another or from a constant. The bytes of a
// register are in the host's order, which is little-endian on every machine
// that Go and eBPF share.
func moves() []form {
	return []form{
		{name: "MovK", op: "ClassALU64|isa.SrcK|isa.AluMOV", variant: "0", body: "$D = $K"}, // also 32 bits: Compile cuts the immediate
		{name: "MovX64", op: "ClassALU64|isa.SrcX|isa.AluMOV", variant: "0", body: "$D = $S", prov: copied},
		{name: "MovX32", op: "ClassALU|isa.SrcX|isa.AluMOV", variant: "0", body: "$D = uint64(uint32($S))"},
		{name: "Movsx8To64", op: "ClassALU64|isa.SrcX|isa.AluMOV", variant: "8", body: "$D = uint64(int8($S))"},
		{name: "Movsx16To64", op: "ClassALU64|isa.SrcX|isa.AluMOV", variant: "16", body: "$D = uint64(int16($S))"},
		{name: "Movsx32To64", op: "ClassALU64|isa.SrcX|isa.AluMOV", variant: "32", body: "$D = uint64(int32($S))"},
		{name: "Movsx8To32", op: "ClassALU|isa.SrcX|isa.AluMOV", variant: "8", body: "$D = uint64(uint32(int8($S)))"},
		{name: "Movsx16To32", op: "ClassALU|isa.SrcX|isa.AluMOV", variant: "16", body: "$D = uint64(uint32(int16($S)))"},

		{name: "Le16", op: "ClassALU|isa.SrcK|isa.AluEND", variant: "16", body: "$D = uint64(uint16($D))"},
		{name: "Le32", op: "ClassALU|isa.SrcK|isa.AluEND", variant: "32", body: "$D = uint64(uint32($D))"},
		{name: "Le64", op: "ClassALU|isa.SrcK|isa.AluEND", variant: "64", body: ""},
		{name: "Be16", op: "ClassALU|isa.SrcX|isa.AluEND", variant: "16", body: "$D = uint64(bits.ReverseBytes16(uint16($D)))"},
		{name: "Be32", op: "ClassALU|isa.SrcX|isa.AluEND", variant: "32", body: "$D = uint64(bits.ReverseBytes32(uint32($D)))"},
		{name: "Be64", op: "ClassALU|isa.SrcX|isa.AluEND", variant: "64", body: "$D = bits.ReverseBytes64($D)"},

		// A wide load fills two slots; the second is not an instruction.
		{name: "Lddw", body: "$D = $K\npc = pc.skip()"},
		{name: "LddwPointer", body: "$D = $K\npc = pc.skip()\n$P", prov: own},
		// Which map the arena is, Compile found out.
		{name: "CastKernel", body: "$D = m.prog.arena.toKernel($S)\n$C", prov: own},
		{name: "CastUser", body: "$D = m.prog.arena.toUser($S)"},
	}
}

// jumps is the forms of JMP and JMP32 but for calls and exit.
func jumps() []form {
	conds := []struct{ name, op, cond, typ string }{
		{"Jeq", "JmpJEQ", "a == b", "uint"},
		{"Jne", "JmpJNE", "a != b", "uint"},
		{"Jgt", "JmpJGT", "a > b", "uint"},
		{"Jge", "JmpJGE", "a >= b", "uint"},
		{"Jlt", "JmpJLT", "a < b", "uint"},
		{"Jle", "JmpJLE", "a <= b", "uint"},
		{"Jset", "JmpJSET", "a&b != 0", "uint"},
		{"Jsgt", "JmpJSGT", "a > b", "int"},
		{"Jsge", "JmpJSGE", "a >= b", "int"},
		{"Jslt", "JmpJSLT", "a < b", "int"},
		{"Jsle", "JmpJSLE", "a <= b", "int"},
	}
	all := []form{{name: "Ja", op: "ClassJMP|isa.JmpJA", variant: "0", body: "goto jump", prov: own}}
	for _, c := range conds {
		for _, width := range []int{64, 32} {
			class := "ClassJMP"
			if width == 32 {
				class = "ClassJMP32"
			}
			view := func(reg string) string {
				if width == 64 && c.typ == "uint" {
					return reg
				}
				return fmt.Sprintf("%s%d(%s)", c.typ, width, reg)
			}
			for _, src := range []string{"K", "X"} {
				operand := "$K"
				if src == "X" {
					operand = "$S"
				}
				all = append(all, form{
					name: fmt.Sprintf("%s%s%d", c.name, src, width), op: class + "|isa.Src" + src + "|isa." + c.op, variant: "0",
					body: "if " + operands(c.cond, view("$D"), view(operand)) + " {\ngoto jump\n}", prov: own,
				})
			}
		}
	}
	return append(all, form{name: "MayGoto", op: "ClassJMP|isa.JmpJCOND", variant: "0",
		body: "if m.frames[m.depth].mayGoto == 0 {\ngoto jump\n}\nm.frames[m.depth].mayGoto--", prov: own})
}

var sizes = []struct {
	name, op string
	bytes    int
	unsigned string
	signed   string
}{
	{"B", "SizeB", 1, "uint8", "int8"},
	{"H", "SizeH", 2, "uint16", "int16"},
	{"W", "SizeW", 4, "uint32", "int32"},
	{"DW", "SizeDW", 8, "uint64", ""},
}

// memory is the loads and stores.
func memory() []form {
	var all []form
	for _, s := range sizes {
		all = append(all, form{name: "Ldx" + s.name, op: "ClassLDX|isa.ModeMEM|isa." + s.op, variant: "0",
			body: fmt.Sprintf("$D = uint64(*(*%s)(mem.At($A)))", s.unsigned), size: s.bytes, access: load})
	}
	for _, s := range sizes[:3] {
		all = append(all, form{name: "Ldxs" + s.name, op: "ClassLDX|isa.ModeMEMSX|isa." + s.op, variant: "0",
			body: fmt.Sprintf("$D = uint64(*(*%s)(mem.At($A)))", s.signed), size: s.bytes, access: load})
	}
	for _, s := range sizes {
		all = append(all, form{name: "St" + s.name, op: "ClassST|isa.ModeMEM|isa." + s.op, variant: "0",
			body: fmt.Sprintf("*(*%s)(mem.At($A)) = %s($K)", s.unsigned, s.unsigned), size: s.bytes, access: store})
	}
	for _, s := range sizes {
		all = append(all, form{name: "Stx" + s.name, op: "ClassSTX|isa.ModeMEM|isa." + s.op, variant: "0",
			body: fmt.Sprintf("*(*%s)(mem.At($A)) = %s($S)", s.unsigned, s.unsigned), size: s.bytes, access: store})
	}
	// The context's fields lie elsewhere, and may be wider, than a program sees
	// them. The fast loop has the offset converted at compile time: the field's
	// Off less the register's place in the context. What is no plain access is Slow.
	for _, s := range sizes {
		all = append(all,
			form{name: "LdxCtx" + s.name, only: fast,
				body: fmt.Sprintf("$D = uint64(*(*%s)(mem.At(uintptr($S) + uintptr(o.off)))) >> (o.shift & 63) & $K", s.unsigned)},
		)
	}
	return append(all,
		form{name: "Slow", only: fast, body: "$save\nif m.slow(o); m.err != nil {\nreturn\n}\n$load", prov: own},
	)
}

// atomics is the read-modify-write instructions, load-acquire and
// store-release.
func atomics() []form {
	ops := []struct{ name, imm, call string }{
		{"Add", "AtomicADD", "Add"},
		{"Or", "AtomicOR", "Or"},
		{"And", "AtomicAND", "And"},
		{"Xor", "AtomicXOR", "Xor"},
	}
	var all []form
	for _, s := range sizes[2:] {
		bits := s.bytes * 8
		at := fmt.Sprintf("(*uint%d)(mem.At($A))", bits)
		add := func(name, imm, body string) {
			all = append(all, form{name: fmt.Sprintf("Atomic%s%d", name, bits), op: "ClassSTX|isa.ModeATOMIC|isa." + s.op, variant: "isa." + imm,
				body: body, size: s.bytes, access: atomic, prov: own})
		}
		for _, o := range ops {
			call := fmt.Sprintf("fetch%s%d(%s, uint%d($S))", o.call, bits, at, bits)
			add(o.name, o.imm, call)
			add("Fetch"+o.name, o.imm+"|isa.AtomicFetch", "$S = uint64("+call+")\n$Z")
		}
		add("Xchg", "AtomicXCHG", fmt.Sprintf("$S = uint64(atomic.SwapUint%d(%s, uint%d($S)))\n$Z", bits, at, bits))
		add("Cmpxchg", "AtomicCMPXCHG", fmt.Sprintf("$R = uint64(cmpxchg%d(%s, uint%d($R), uint%d($S)))\n$Z0", bits, at, bits, bits))
	}
	for _, s := range sizes {
		bits := s.bytes * 8
		all = append(all,
			form{name: fmt.Sprintf("LoadAcq%d", bits), op: "ClassSTX|isa.ModeATOMIC|isa." + s.op, variant: "isa.AtomicLoadAcq",
				body: fmt.Sprintf("$D = uint64(loadAcquire%d(mem.At($A)))", bits), size: s.bytes, access: load},
			form{name: fmt.Sprintf("StoreRel%d", bits), op: "ClassSTX|isa.ModeATOMIC|isa." + s.op, variant: "isa.AtomicStoreRl",
				body: fmt.Sprintf("storeRelease%d(mem.At($A), %s($S))", bits, s.unsigned), size: s.bytes, access: store},
		)
	}
	return all
}

// control is calls, exit, and what ends a run. Compile chooses these forms.
//
// What a loop calls finds its pc and limit in the machine and leaves them there,
// so that the compiler keeps both in registers everywhere else.
func control() []form {
	return []form{
		{name: "CallLocal", body: "$save\nif m.call(o); m.err != nil {\nreturn\n}\n$load", prov: own},
		{name: "Exit", body: "$save\nif m.depth == base {\nreturn\n}\nm.ret()\n$load", prov: own},
		{name: "CallHelper", only: fast, prov: own, body: "$save\n" +
			"$R = m.prog.helpers[o.off].Func(m.state, reg[1], reg[2], reg[3], reg[4], reg[5])\n" +
			"if m.err != nil {\nreturn\n}\n$load"},
		{name: "CallHelper", only: checked, prov: own, body: "$save\n" +
			"if m.helper(o, m.prog.helpers[o.off]); m.err != nil {\nreturn\n}\n$load"},
		{name: "Gotox", prov: own, body: "$save\nif m.gotox(o); m.err != nil {\nreturn\n}\n$load"},
		{name: "CallX", prov: own, body: "$save\nif m.callx(o); m.err != nil {\nreturn\n}\n$load"},
		{name: "TailCall", prov: own, body: "$save\nif m.tailCall(o); m.err != nil {\nreturn\n}\n$load"},
		// The legacy packet loads end the function where they find no bytes.
		{name: "LdPacket", prov: own, body: "$save\nif !m.loadPacket(o) {\nif m.err != nil || m.depth == base {\nreturn\n}\nm.ret()\n}\n$load"},
		{name: "Trap", prov: own, body: "$save\nm.trap(o)\nreturn"},
		// Stands for any form in a program whose steps somebody wants to see.
		{name: "Traced", only: checked, prov: own, body: "$save\ncode = m.traced(o)\ngoto again"},
	}
}
