package difftest

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/progen"
	"github.com/skep-ebpf/skep/isa"
)

func TestRemove(t *testing.T) {
	jump := func(off int16) isa.Instruction { return isa.Instruction{Op: isa.ClassJMP | isa.JmpJEQ, Off: off} }
	long := func(imm int32) isa.Instruction { return isa.Instruction{Op: isa.ClassJMP32 | isa.JmpJA, Imm: imm} }
	call := func(imm int32) isa.Instruction {
		return isa.Instruction{Op: isa.ClassJMP | isa.JmpCALL, Src: isa.CallLocal, Imm: imm}
	}
	helper := isa.Instruction{Op: isa.ClassJMP | isa.JmpCALL, Imm: 5}
	wide, rest := isa.Instruction{Op: isa.OpLDDW}, isa.Instruction{}
	exit := isa.Instruction{Op: isa.ClassJMP | isa.JmpEXIT}
	type program = []isa.Instruction
	tests := []struct {
		name   string
		before program
		at, n  int
		after  program
	}{
		{"jump over", program{jump(2), exit, exit, exit}, 1, 1, program{jump(1), exit, exit}},
		{"jump to what is gone", program{jump(1), exit, exit, exit}, 2, 1, program{jump(1), exit, exit}},
		{"jump back", program{exit, exit, jump(-3)}, 1, 1, program{exit, jump(-2)}},
		{"jump elsewhere", program{exit, jump(0), exit}, 0, 1, program{jump(0), exit}},
		{"long jump", program{long(2), exit, exit, exit}, 1, 2, program{long(0), exit}},
		{"call", program{call(2), exit, exit, exit}, 2, 1, program{call(1), exit, exit}},
		{"helper", program{helper, exit, exit}, 1, 1, program{helper, exit}},
		{"half of a wide one", program{wide, rest, exit}, 1, 1, nil},
		{"wide", program{wide, rest, exit}, 0, 2, program{exit}},
		{"all", program{exit}, 0, 1, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.after, Remove(tt.before, tt.at, tt.n)); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestMinimise: what is left is what the condition asks for.
func TestMinimise(t *testing.T) {
	swap := func(i isa.Instruction) bool { return i.Op == isa.ClassALU64|isa.AluEND }
	found := 0
	for seed := uint64(1); found < 3; seed++ {
		c := progen.New(seed)
		has := func(c *progen.Case) bool { return slices.ContainsFunc(c.Progs[0], swap) }
		if !has(c) {
			continue
		}
		found++
		small := Minimise(c, has)
		if len(small.Progs[0]) != 1 || len(small.Ctx) != 0 || len(small.Packet) >= 28 {
			t.Errorf("seed %d: %d instructions, %d bytes of context and %d of the packet are left",
				seed, len(small.Progs[0]), len(small.Ctx), len(small.Packet))
		}
	}
}
