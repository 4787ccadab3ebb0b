package inspect

import (
	"math/rand/v2"
	"testing"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/program"
)

// The way back through what is no program ends, too.
func TestOutcomesOfGarbage(t *testing.T) {
	r := rand.New(rand.NewPCG(testenv.Seed(t), 0))
	ops := []uint8{
		isa.ClassJMP | isa.JmpEXIT, isa.ClassJMP | isa.JmpJA, isa.ClassJMP | isa.JmpJA | isa.SrcX, isa.ClassJMP32 | isa.JmpJA,
		isa.ClassJMP | isa.JmpCALL, isa.OpLDDW, isa.ClassALU64 | isa.AluMOV, isa.ClassJMP32 | 0x10,
	}
	for range 10000 {
		insns := make([]isa.Instruction, 1+r.IntN(12))
		for i := range insns {
			insns[i] = isa.Instruction{
				Op: ops[r.IntN(len(ops))], Dst: uint8(r.IntN(2)), Src: uint8(r.IntN(3)), Off: int16(r.IntN(30) - 15), Imm: int32(r.IntN(30) - 15),
			}
		}
		outcomes(&program.Image{Insns: insns}, nil)
	}
}
