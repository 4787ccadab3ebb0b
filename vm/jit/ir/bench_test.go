package ir

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/isa"
)

// lifted makes functions of one of the programs that engines are measured with.
func lifted(t testing.TB, name string) *Program {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(testenv.Data(t, "bench"), name+".U.bin"))
	if err != nil {
		t.Fatal(err)
	}
	insns, err := isa.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	prog, err := Lift(&Source{
		Name: name, Insns: insns,
		Call: func(int) (int, uint8) { return 0, 5 },
		Constant: func(at int) uint64 {
			return uint64(uint32(insns[at].Imm)) | uint64(insns[at+1].Imm)<<32
		},
		Access:  func(int) Access { return Access{} },
		Trapped: func(int) bool { return false },
	})
	if err != nil {
		t.Fatal(err)
	}
	return prog
}

func BenchmarkPasses(b *testing.B) {
	for _, name := range []string{"pkt", "sieve"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				p := lifted(b, name)
				b.StartTimer()
				for _, f := range p.Funcs {
					f.Fold()
				}
			}
		})
	}
}
