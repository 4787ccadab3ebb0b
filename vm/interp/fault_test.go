package interp

import (
	"errors"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/maps"
)

// TestFaults: what checked mode says of a program that does what it must not.
func TestFaults(t *testing.T) {
	counts := array(t, 8)
	table := newMap(t, &ebpf.MapSpec{Name: "table", Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 4})
	readOnly := newMap(t, &ebpf.MapSpec{Name: ".rodata", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1, Flags: maps.FlagRdonlyProg})
	ring := newMap(t, &ebpf.MapSpec{Name: "events", Type: ebpf.RingBuf, MaxEntries: 4096})
	all := []maps.Map{counts, table, readOnly, ring}
	const lookup = `
		stw [%r10-4], 0
		mov %r2, %r10
		add %r2, -4
		call 1
		`
	tests := map[string]struct {
		typ  ebpf.ProgramType
		text string
		insn int
		want string
	}{
		"packet": {typ: ebpf.XDP, insn: 1, want: "R2 may reach 64 bytes from the packet's first byte, the access wants bytes 62..66", text: `
			ldxw %r2, [%r1]
			ldxw %r0, [%r2+62]
			exit`},
		"before the packet": {typ: ebpf.XDP, insn: 1, want: "the access wants bytes -4..0", text: `
			ldxw %r2, [%r1]
			ldxw %r0, [%r2-4]
			exit`},
		"packet's end": {typ: ebpf.XDP, insn: 1, want: "R2 is the packet's end", text: `
			ldxw %r2, [%r1+4]
			ldxb %r0, [%r2-1]
			exit`},
		"stale packet": {typ: ebpf.XDP, insn: 4, want: "R7 pointed into the packet until bpf_xdp_adjust_head (instruction 3) moved it", text: `
			ldxw %r7, [%r1]
			stxdw [%r10-8], %r7
			mov %r2, 4
			call 44
			ldxb %r0, [%r7]
			exit`},
		"stale packet on the stack": {typ: ebpf.XDP, insn: 5, want: "R7 pointed into the packet until bpf_xdp_adjust_head (instruction 3) moved it", text: `
			ldxw %r7, [%r1]
			stxdw [%r10-8], %r7
			mov %r2, 4
			call 44
			ldxdw %r7, [%r10-8]
			ldxb %r0, [%r7]
			exit`},
		"context field": {typ: ebpf.XDP, insn: 0, want: "R1 points to the context: struct xdp_md has no field at offset 24 of 4 bytes", text: `
			ldxw %r0, [%r1+24]
			exit`},
		"context is read-only": {typ: ebpf.XDP, insn: 0, want: "field data of struct xdp_md is read-only", text: `
			stw [%r1], 0
			mov %r0, 0
			exit`},
		"NULL": {insn: 6, want: "R0 is a number (0x0), not a pointer: test the result of bpf_map_lookup_elem (instruction 5) before use", text: `
			lddw %r1, map 1
			` + lookup + `
			ldxdw %r0, [%r0]
			exit`},
		"number": {insn: 1, want: "R2 is a number (0x2a), not a pointer", text: `
			mov %r2, 42
			ldxdw %r0, [%r2]
			exit`},
		"sum of pointers": {insn: 2, want: "R1 is a number", text: `
			mov %r2, %r10
			add %r1, %r2
			ldxdw %r0, [%r1]
			exit`},
		"map value": {insn: 7, want: "R0 may reach 8 bytes from the first byte of a value of map counts, the access wants bytes 4..12", text: `
			lddw %r1, map 0
			` + lookup + `
			jeq %r0, 0, end
			ldxdw %r0, [%r0+4]
			end:
			exit`},
		"map itself": {insn: 2, want: "R1 points to map counts itself, and no types say where its fields lie", text: `
			lddw %r1, map 0
			ldxdw %r0, [%r1]
			exit`},
		"read-only map": {insn: 2, want: "R1 points into a value of map .rodata, which programs may not write", text: `
			lddw %r1, value 2+0
			stdw [%r1], 0
			mov %r0, 0
			exit`},
		"stack": {insn: 0, want: "R10 may reach bytes -512..0 of its function's stack, the access wants bytes -516..-508", text: `
			ldxdw %r0, [%r10-516]
			exit`},
		"stack of a function that returned": {insn: 1, want: "R0 points into the stack of a function that has returned", text: `
			call local f
			ldxdw %r0, [%r0-8]
			exit
			f:
			mov %r0, %r10
			exit`},
		"misaligned atomic": {insn: 1, want: "R10 may be used for an atomic access of 8 bytes only where its address is a multiple of that", text: `
			mov %r1, 1
			lock add [%r10-12], %r1
			mov %r0, 0
			exit`},
		"ninth frame": {insn: 2, want: "calls are 7 deep", text: `
			call local f
			exit
			f:
			call local f
			exit`},
		"key too short": {insn: 4, want: "R2 (argument 2 of bpf_map_lookup_elem) may reach bytes -512..0 of its function's stack, the access wants bytes -2..2", text: `
			lddw %r1, map 0
			mov %r2, %r10
			add %r2, -2
			call 1
			mov %r0, 0
			exit`},
		"no map": {insn: 3, want: "R1 (argument 1 of bpf_map_lookup_elem) is not a map", text: `
			mov %r1, 1
			mov %r2, %r10
			add %r2, -4
			call 1
			mov %r0, 0
			exit`},
		"record submitted": {insn: 11, want: "R6 points into a record that was submitted or discarded", text: `
			lddw %r1, map 3
			mov %r2, 8
			mov %r3, 0
			call 131
			jeq %r0, 0, end
			mov %r6, %r0
			stdw [%r6], 1
			mov %r1, %r6
			mov %r2, 0
			call 132
			stdw [%r6], 1
			end:
			mov %r0, 0
			exit`},
		"record submitted within": {insn: 9, want: "R1 (argument 1 of bpf_ringbuf_submit) is not the beginning of a record", text: `
			lddw %r1, map 3
			mov %r2, 8
			mov %r3, 0
			call 131
			jeq %r0, 0, end
			mov %r1, %r0
			add %r1, 4
			mov %r2, 0
			call 132
			end:
			mov %r0, 0
			exit`},
		"callx": {insn: 1, want: "R2 is 100000, and there is no helper of this number", text: `
			mov %r2, 100000
			call %r2
			exit`},
		"tail call": {insn: 3, want: "R2 (argument 2 of bpf_tail_call) is map counts of type Array, not a program array", text: `
			lddw %r2, map 0
			mov %r3, 0
			call 12
			mov %r0, 0
			exit`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			in := &Input{Maps: all, Insns: assemble(t, tt.text), Where: func(insn int) string { return "prog.bpf.c:7" }}
			s := newState(t)
			if tt.typ != 0 {
				in.Type = progType(t, tt.typ)
				packetType(t, s)
			}
			_, err := compileAsIs(t, in).Run(s, Checked)
			var fault *Fault
			if !errors.As(err, &fault) {
				t.Fatalf("error %v, want a fault", err)
			}
			if fault.Insn != tt.insn || !strings.Contains(fault.Error(), tt.want) || !strings.HasSuffix(fault.Error(), "at prog.bpf.c:7") {
				t.Errorf("instruction %d, want %d with %q\n%v", fault.Insn, tt.insn, tt.want, err)
			}
		})
	}
}

// TestPoisoned: what the target has nothing for may stand in a program that
// does not come there.
func TestPoisoned(t *testing.T) {
	in := &Input{Name: "core", Insns: assemble(t, `
		mov %r0, 1
		jeq %r0, 1, end
		call 195896080
		end:
		exit`), Poisoned: map[int]string{2: "field x of struct y is not there"}}
	inBothModes(t, compile(t, in), wantR0(1))

	in.Insns[0].Imm = 2
	_, err := compile(t, in).Run(newState(t), Checked)
	if err == nil || !strings.Contains(err.Error(), "field x of struct y is not there") {
		t.Errorf("error %v", err)
	}
}

// TestDeadFramePointer: what writes to R10 may stand where the program does not
// come.
func TestDeadFramePointer(t *testing.T) {
	for _, write := range []string{"mov %r10, 7", "ldxdw %r10, [%r10-8]", "lddw %r10, 7"} {
		in := &Input{Name: "dead", Insns: assemble(t, `
			stxdw [%r10-8], %r1
			mov %r0, 1
			jeq %r0, 1, end
			`+write+`
			end:
			exit`)}
		inBothModes(t, compile(t, in), wantR0(1))

		in.Insns[1].Imm = 2
		_, err := compile(t, in).Run(newState(t), Checked)
		if err == nil || !strings.Contains(err.Error(), "instruction 3") || !strings.Contains(err.Error(), writesFramePointer) {
			t.Errorf("%s: error %v", write, err)
		}
	}
}

// TestRefused: what Compile refuses, and what it says.
func TestRefused(t *testing.T) {
	exit := isa.Instruction{Op: isa.ClassJMP | isa.JmpEXIT}
	mov0 := isa.Instruction{Op: isa.ClassALU64 | isa.AluMOV}
	tests := map[string]struct {
		insns []isa.Instruction
		want  string
	}{
		"empty":                {nil, "program bad has no instructions"},
		"unknown opcode":       {[]isa.Instruction{mov0, {Op: 0xff}, exit}, "unknown instruction: opcode 0xff"},
		"register 11":          {[]isa.Instruction{{Op: isa.ClassALU64 | isa.AluMOV, Dst: 11}, exit}, "there is no register R11"},
		"source register 12":   {[]isa.Instruction{{Op: isa.ClassALU64 | isa.SrcX | isa.AluMOV, Src: 12}, exit}, "there is no register R12"},
		"R10":                  {[]isa.Instruction{{Op: isa.ClassALU64 | isa.AluMOV, Dst: 10}, exit}, "writes to R10"},
		"R10 by fetch":         {[]isa.Instruction{{Op: isa.ClassSTX | isa.ModeATOMIC | isa.SizeDW, Dst: 1, Src: 10, Imm: 1}, exit}, "writes to R10"},
		"jump behind the end":  {[]isa.Instruction{mov0, {Op: isa.ClassJMP, Off: 1}, exit}, "leads to instruction 3, and the program has 3"},
		"jump before":          {[]isa.Instruction{mov0, {Op: isa.ClassJMP, Off: -3}, exit}, "leads to instruction -1"},
		"jump into a load":     {[]isa.Instruction{{Op: isa.ClassJMP, Off: 1}, {Op: isa.OpLDDW}, {}, exit}, "into the middle of the wide load at instruction 1"},
		"half a load":          {[]isa.Instruction{mov0, {Op: isa.OpLDDW}}, "the second half of the wide load is missing"},
		"dirty second half":    {[]isa.Instruction{{Op: isa.OpLDDW}, {Off: 1}, exit}, "fields other than imm"},
		"no end":               {[]isa.Instruction{mov0}, "may run on behind its last instruction"},
		"conditional end":      {[]isa.Instruction{mov0, {Op: isa.ClassJMP | isa.JmpJEQ, Off: -2}}, "may run on behind its last instruction"},
		"into another":         {[]isa.Instruction{{Op: isa.ClassJMP | isa.JmpCALL, Src: isa.CallLocal, Imm: 2}, {Op: isa.ClassJMP, Off: 2}, exit, mov0, exit}, "in another function"},
		"unknown helper":       {[]isa.Instruction{{Op: isa.ClassJMP | isa.JmpCALL, Imm: 9999}, exit}, "calls an unknown helper (helper 9999)"},
		"helper of other type": {[]isa.Instruction{{Op: isa.ClassJMP | isa.JmpCALL, Imm: 44}, exit}, "calls bpf_xdp_adjust_head (helper 44), which programs of type plain may not call"},
		"kfunc":                {[]isa.Instruction{{Op: isa.ClassJMP | isa.JmpCALL, Src: isa.CallKfunc, Imm: 77}, exit}, "kernel function with BTF id 77"},
		"map":                  {[]isa.Instruction{{Op: isa.OpLDDW, Src: isa.PseudoMapFD, Imm: 3}, {}, exit}, "loads map 3, and the program refers to 0 maps"},
		"arena":                {[]isa.Instruction{{Op: isa.ClassALU64 | isa.SrcX | isa.AluMOV, Off: 1, Imm: 1, Src: 1}, exit}, "refers to no arena map"},
		"packet load":          {[]isa.Instruction{{Op: isa.ClassLD | isa.ModeABS | isa.SizeW}, exit}, "programs of type plain have no packet loads"},
		"unset register":       {[]isa.Instruction{exit}, "reads R0, which nothing has set"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Compile(&Input{Name: "bad", Type: plain, Insns: tt.insns})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}
