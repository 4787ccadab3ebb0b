package engine_test

import (
	"testing"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/engine"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/internal/proof"
	"github.com/skep-ebpf/skep/vm/interp"
)

// TestUninitStack: what a program may read of its stack without having written it is 0,
// whatever ran before.
func TestUninitStack(t *testing.T) {
	mov := func(dst, src uint8) isa.Instruction {
		return isa.Instruction{Op: isa.ClassALU64 | isa.AluMOV | isa.SrcX, Dst: dst, Src: src}
	}
	store := func(dst uint8, off int16) isa.Instruction {
		return isa.Instruction{Op: isa.ClassST | isa.ModeMEM | isa.SizeDW, Dst: dst, Off: off, Imm: 7}
	}
	load := func(dst, src uint8, off int16) isa.Instruction {
		return isa.Instruction{Op: isa.ClassLDX | isa.ModeMEM | isa.SizeDW, Dst: dst, Src: src, Off: off}
	}
	or := func(dst, src uint8) isa.Instruction {
		return isa.Instruction{Op: isa.ClassALU64 | isa.AluOR | isa.SrcX, Dst: dst, Src: src}
	}
	zero := isa.Instruction{Op: isa.ClassALU64 | isa.AluMOV}
	call := func(n int32) isa.Instruction {
		return isa.Instruction{Op: isa.ClassJMP | isa.JmpCALL, Src: isa.CallLocal, Imm: n}
	}
	exit := isa.Instruction{Op: isa.ClassJMP | isa.JmpEXIT}
	soils := []isa.Instruction{
		mov(isa.R1, isa.R10), call(1), exit,
		store(isa.R1, -8), store(isa.R1, -16), store(isa.R10, -24), zero, exit,
	}
	reads := []isa.Instruction{
		mov(isa.R1, isa.R10), call(3), load(isa.R1, isa.R10, -8), or(isa.R0, isa.R1), exit,
		load(isa.R0, isa.R10, -24), load(isa.R2, isa.R1, -16), or(isa.R0, isa.R2), exit,
	}
	for _, mode := range engine.Modes() {
		t.Run(mode.String(), func(t *testing.T) {
			s, err := exec.NewState(0)
			if err != nil {
				t.Fatal(err)
			}
			s.Budget = 1 << 20
			s.SetPlainCtx(8)
			for _, insns := range [][]isa.Instruction{soils, reads} {
				facts, err := proof.Of(plain, insns, nil)
				if err != nil {
					t.Fatal(err)
				}
				p, err := engine.Compile(&interp.Input{Name: "test", Type: plain, Insns: insns, Facts: facts}, engine.Options{Mode: mode})
				if err != nil {
					t.Fatal(err)
				}
				if got, err := p.Run(s); err != nil || got != 0 {
					t.Errorf("gives %#x, error %v", got, err)
				}
			}
		})
	}
}
