package program_test

import (
	"testing"

	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/program"
)

// TestOrigins asks where R1 comes from before the last instruction: from the one that
// loads 7, or it cannot be told.
func TestOrigins(t *testing.T) {
	seven := asm.LoadImm(asm.R1, 7, asm.DWord)
	in := func(reg asm.Register) asm.Instruction { return asm.LoadImm(reg, 7, asm.DWord) }
	call := asm.FnGetPrandomU32.Call()
	for name, tc := range map[string]struct {
		insns asm.Instructions
		known bool
	}{
		"right before":         {asm.Instructions{seven}, true},
		"others between":       {asm.Instructions{seven, asm.Mov.Imm(asm.R2, 1), asm.StoreMem(asm.RFP, -8, asm.R2, asm.DWord)}, true},
		"stored through it":    {asm.Instructions{seven, asm.StoreMem(asm.R1, 0, asm.R2, asm.DWord)}, true},
		"moved":                {asm.Instructions{in(asm.R6), asm.Mov.Reg(asm.R1, asm.R6)}, true},
		"over a call":          {asm.Instructions{in(asm.R6), call, asm.Mov.Reg(asm.R1, asm.R6)}, true},
		"after a jump":         {asm.Instructions{seven, asm.JEq.Imm(asm.R2, 0, "out")}, true},
		"a call":               {asm.Instructions{seven, call}, false},
		"half of it":           {asm.Instructions{in(asm.R6), asm.Mov.Reg32(asm.R1, asm.R6)}, false},
		"two ways":             {asm.Instructions{seven, asm.JEq.Imm(asm.R2, 0, "here"), in(asm.R1), asm.Mov.Imm(asm.R3, 0).WithSymbol("here")}, false},
		"two ways by distance": {asm.Instructions{seven, goTo(2), in(asm.R1), asm.Mov.Imm(asm.R3, 0)}, false},
		"before the beginning": {asm.Instructions{asm.Mov.Imm(asm.R2, 0)}, false},
		"fetched":              {asm.Instructions{seven, asm.FetchAdd.Mem(asm.R6, asm.R1, asm.DWord, 0)}, false},
		"compared and swapped": {asm.Instructions{in(asm.R0), asm.CmpXchg.Mem(asm.R6, asm.R2, asm.DWord, 0), asm.Mov.Reg(asm.R1, asm.R0)}, false},
		"a load of the packet": {asm.Instructions{seven, asm.LoadAbs(0, asm.Word)}, false},
		"behind another's end": {asm.Instructions{seven, asm.Return(), asm.Mov.Imm(asm.R2, 0)}, false},
	} {
		insns := append(tc.insns, asm.Mov.Imm(asm.R0, 0), asm.Return().WithSymbol("out"))
		got := program.NewOrigins(insns).Of(len(tc.insns), asm.R1)
		if known := got != nil && got.IsConstantLoad(asm.DWord) && got.Constant == 7; known != tc.known {
			t.Errorf("%s: comes from %v", name, got)
		}
	}
}
