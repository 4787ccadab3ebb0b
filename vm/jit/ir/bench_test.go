package ir

import (
	"os"
	"path/filepath"
	"slices"
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

// clone is a copy of a function that passes may change.
func clone(f *Func) *Func {
	g := *f
	g.Blocks = slices.Clone(f.Blocks)
	room := []Ins(nil)
	for at := range g.Blocks {
		room = append(room, g.Blocks[at].Ins...)
	}
	for at := range g.Blocks {
		n := len(g.Blocks[at].Ins)
		g.Blocks[at].Ins, room = room[:n:n], room[n:]
	}
	return &g
}

// BenchmarkPasses measures each pass on what those before it make of a program.
func BenchmarkPasses(b *testing.B) {
	f := lifted(b, "pkt").Funcs[0]
	for _, p := range []pass{
		{"fold", (*Func).Fold}, {"sweep", (*Func).Sweep}, {"again", (*Func).Fold}, {"divide", (*Func).Divide}, {"combine", combine},
		{"last", (*Func).Sweep},
	} {
		b.Run(p.name, func(b *testing.B) {
			b.ReportAllocs()
			var all [16]*Func
			for n := 0; b.Loop(); n++ {
				if n %= len(all); n == 0 {
					b.StopTimer()
					for k := range all {
						all[k] = clone(f)
					}
					b.StartTimer()
				}
				p.run(all[n])
			}
		})
		p.run(f)
	}
}
