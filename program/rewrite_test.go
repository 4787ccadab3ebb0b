package program_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/program"
)

// goTo jumps over a number of slots.
func goTo(slots int16) asm.Instruction {
	ins := asm.Ja.Label("")
	ins.Offset = slots
	return ins.WithReference("")
}

// goFar is the same with a distance of 32 bits.
func goFar(slots int64) asm.Instruction {
	return asm.Instruction{OpCode: asm.OpCode(asm.Jump32Class).SetJumpOp(asm.Ja), Constant: slots}
}

// TestRewrite puts two instructions, of three slots, behind an instruction or in its place.
func TestRewrite(t *testing.T) {
	seven, move := asm.LoadImm(asm.R1, 7, asm.DWord), asm.Mov.Imm(asm.R2, 7)
	nop, wide := asm.Mov.Imm(asm.R3, 3), asm.LoadImm(asm.R4, 4, asm.DWord)
	for _, tc := range []struct {
		name            string
		insns           asm.Instructions
		behind, instead int // the instruction behind which, or for which they are put; -1: none
		want            asm.Instructions
	}{
		{"jump over", asm.Instructions{goTo(1), nop}, 1, -1, asm.Instructions{goTo(4), nop, seven, move}},
		{"jump to what is replaced", asm.Instructions{goTo(0), nop}, -1, 1, asm.Instructions{goTo(0), seven, move}},
		{"jump to behind it", asm.Instructions{goTo(1), nop, nop}, 1, -1, asm.Instructions{goTo(4), nop, seven, move, nop}},
		{"over a wide instruction", asm.Instructions{goTo(3), wide, nop}, 2, -1, asm.Instructions{goTo(6), wide, nop, seven, move}},
		{"a wide one is replaced", asm.Instructions{goTo(2), wide, nop}, -1, 1, asm.Instructions{goTo(3), seven, move, nop}},
		{"back", asm.Instructions{nop, nop, goTo(-3)}, -1, 1, asm.Instructions{nop, seven, move, goTo(-5)}},
		{"far", asm.Instructions{goFar(1), nop}, 1, -1, asm.Instructions{goFar(4), nop, seven, move}},
		{"before all jumps", asm.Instructions{nop, goTo(1), nop}, 0, -1, asm.Instructions{nop, seven, move, goTo(1), nop}},
		{"to the end", asm.Instructions{goTo(1), nop}, -1, 1, asm.Instructions{goTo(3), seven, move}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			insns := append(tc.insns, asm.Return())
			before := text(insns)
			got, err := program.Rewrite(insns, func(i int) asm.Instructions {
				switch i {
				case tc.behind:
					return asm.Instructions{insns[i], seven, move}
				case tc.instead:
					return asm.Instructions{seven, move}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(text(append(tc.want, asm.Return())), text(got)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(before, text(insns)); diff != "" {
				t.Errorf("it changed what it was given:\n%s", diff)
			}
		})
	}
}

func text(insns asm.Instructions) (lines []string) {
	for _, ins := range insns {
		lines = append(lines, fmt.Sprint(ins))
	}
	return lines
}

// TestRewriteKeepsSymbols wants functions, labels and lines of source to go over to what
// takes their place, and references to symbols to stay.
func TestRewriteKeepsSymbols(t *testing.T) {
	fn := &btf.Func{Name: "main", Type: &btf.FuncProto{Return: &btf.Int{Name: "int", Size: 4}}}
	insns := asm.Instructions{
		btf.WithFuncMetadata(asm.Mov.Imm(asm.R0, 0).WithSymbol("main").WithSource(asm.Comment("line 1")), fn),
		asm.JEq.Imm(asm.R0, 0, "end"),
		asm.Call.Label("sub"),
		asm.Return().WithSymbol("end"),
		asm.Mov.Imm(asm.R0, 1).WithSymbol("sub"),
		asm.Return(),
	}
	got, err := program.Rewrite(insns, func(i int) asm.Instructions {
		if i == 0 || i == 3 {
			return asm.Instructions{asm.Mov.Imm(asm.R1, 0), asm.Mov.Reg(asm.R0, asm.R1), insns[i].WithSymbol("")}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got[0].Symbol() != "main" || got[0].Source().String() != "line 1" || btf.FuncMetadata(&got[0]) != fn {
		t.Errorf("the function's beginning is lost: %v, %v", got[0].Symbol(), got[0].Source())
	}
	if got[5].Symbol() != "end" || got[3].Reference() != "end" || got[3].Offset != -1 || got[4].Constant != -1 {
		t.Errorf("labels are lost:\n%v", got)
	}
}

// TestRewriteThere puts a jump to where another one led.
func TestRewriteThere(t *testing.T) {
	nop := asm.Mov.Imm(asm.R3, 3)
	jump := func(slots int16) asm.Instruction {
		ins := asm.JEq.Imm(asm.R0, 0, "")
		ins.Offset = slots
		return ins.WithReference("")
	}
	for name, tc := range map[string]struct{ was, want asm.Instructions }{
		"by distance": {asm.Instructions{jump(1), nop, asm.Return()}, asm.Instructions{nop, goTo(2), nop, nop, asm.Return()}},
		"back":        {asm.Instructions{jump(-1), nop, asm.Return()}, asm.Instructions{nop, goTo(-2), nop, nop, asm.Return()}},
		"by a label": {
			asm.Instructions{asm.JEq.Imm(asm.R0, 0, "out"), nop, asm.Return().WithSymbol("out")},
			asm.Instructions{nop, asm.Ja.Label("out"), nop, nop, asm.Return().WithSymbol("out")},
		},
	} {
		got, err := program.Rewrite(tc.was, func(i int) asm.Instructions {
			if i == 0 {
				return asm.Instructions{nop, asm.Ja.Label(program.There), nop}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(text(tc.want), text(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestRewriteRefuses(t *testing.T) {
	table := asm.Instruction{OpCode: asm.OpCode(asm.JumpClass).SetJumpOp(asm.Ja).SetSource(asm.RegSource), Dst: asm.R1}
	many := make(asm.Instructions, math.MaxInt16)
	for i := range many {
		many[i] = asm.Mov.Imm(asm.R0, 0)
	}
	for want, insns := range map[string]asm.Instructions{
		"it jumps by a table":                  {table, asm.Return()},
		"jumps to what is no instruction":      {goTo(1), asm.LoadImm(asm.R0, 0, asm.DWord), asm.Return()},
		"would jump over 32768 instructions":   append(asm.Instructions{goTo(math.MaxInt16)}, append(many, asm.Return())...),
		"instruction 0 jumps to what is no in": {goTo(100), asm.Return()},
	} {
		_, err := program.Rewrite(insns, func(i int) asm.Instructions {
			if i == 1 {
				return asm.Instructions{insns[1], asm.Mov.Imm(asm.R2, 0)}
			}
			return nil
		})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}
