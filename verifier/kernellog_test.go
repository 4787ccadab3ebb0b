package verifier_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier"
)

// TestReadLog reads logs in the forms of several versions of Linux.
func TestReadLog(t *testing.T) {
	img := &program.Image{
		Name: "count",
		Insns: []isa.Instruction{
			{Op: isa.ClassALU64 | isa.AluMOV, Dst: 2, Imm: 1},            // 0: r2 = 1
			{Op: isa.ClassLDX | isa.SizeB | isa.ModeMEM, Dst: 0, Src: 2}, // 1: r0 = *(u8 *)(r2 +0)
			{Op: isa.ClassJMP | isa.JmpEXIT},                             // 2: exit
		},
		Funcs: []program.Function{{Name: "count"}},
		Lines: []program.Line{{Start: 0, File: "count.bpf.c", Number: 7, Text: "return *p;"}},
	}
	type told struct {
		Insn, Reg           int
		Text, Value, Kernel string
	}
	for name, c := range map[string]struct {
		log  string
		want told
	}{
		"6.18": {`0: R1=ctx() R10=fp0
; return *p; @ count.bpf.c:7
0: (b7) r2 = 1                        ; R2=scalar(umax=1,var_off=(0x0; 0x1))
1: (71) r0 = *(u8 *)(r2 +0)
R2 invalid mem access 'scalar'
processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0`,
			told{1, 2, "r0 = *(u8 *)(r2 +0)", "scalar(umax=1,var_off=(0x0; 0x1))", "R2 invalid mem access 'scalar'"}},
		"5.10": {`; return *p;
0: (b7) r2 = 1
1: (71) r0 = *(u8 *)(r2 +0)
R2 invalid mem access 'inv'
processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0`,
			told{1, 2, "r0 = *(u8 *)(r2 +0)", "", "R2 invalid mem access 'inv'"}},
		"two lines": {`1: (71) r0 = *(u8 *)(r2 +0)
invalid access to map value, value_size=4 off=4 size=4
R2 min value is outside of the allowed memory range`,
			told{1, 2, "r0 = *(u8 *)(r2 +0)", "", "invalid access to map value, value_size=4 off=4 size=4\nR2 min value is outside of the allowed memory range"}},
		"before the walk": {"unreachable insn 2\nprocessed 0 insns (limit 1000000)",
			told{2, -1, "Exit", "", "unreachable insn 2"}},
		"no instruction": {"arg#0 reference type('UNKNOWN ') size cannot be determined: -22\nThe sequence of 8193 jumps is too complex.",
			told{-1, -1, "", "", "The sequence of 8193 jumps is too complex."}},
		"an instruction that there is not": {"99: (95) exit\nsome words", told{-1, -1, "exit", "", "some words"}},
		"nothing":                          {"", told{-1, -1, "", "", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			e := verifier.ReadLog(img, strings.Split(c.log, "\n"))
			got := told{e.Insn, e.Reg, e.Text, e.Value, e.Kernel}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if where := e.Where; (where != "") != (e.Insn >= 0) {
				t.Errorf("instruction %d is at %q", e.Insn, where)
			}
		})
	}
}
