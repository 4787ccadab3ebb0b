package ir

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/isa"
)

// lifted makes functions of one of them.
func lifted(t testing.TB, name string) *Program {
	prog, err := Lift(source(t, name), new(Workspace))
	if err != nil {
		t.Fatal(err)
	}
	return prog
}

// source is one of the programs that engines are measured with.
func source(t testing.TB, name string) *Source {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(testenv.Data(t, "bench"), name+".U.bin"))
	if err != nil {
		t.Fatal(err)
	}
	insns, err := isa.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	return &Source{
		Name: name, Insns: insns,
		Call: func(int) (int, uint8) { return 0, 5 },
		Constant: func(at int) uint64 {
			return uint64(uint32(insns[at].Imm)) | uint64(insns[at+1].Imm)<<32
		},
		Access: func(int) Access { return Access{} },
	}
}

// copier makes copies of a function that passes may change, always in the same memory.
type copier struct {
	of     *Func
	blocks []Block
	room   []Ins
}

func (c *copier) copy() *Func {
	f := *c.of
	c.blocks, c.room = append(c.blocks[:0], f.Blocks...), c.room[:0]
	f.Blocks = c.blocks
	for at := range f.Blocks {
		c.room = append(c.room, f.Blocks[at].Ins...)
	}
	room := c.room
	for at := range f.Blocks {
		n := len(f.Blocks[at].Ins)
		f.Blocks[at].Ins, room = room[:n:n], room[n:]
	}
	return &f
}

// BenchmarkPasses measures each pass on what those before it make of a program. The
// first line is what copying it takes, which the others have in them.
func BenchmarkPasses(b *testing.B) {
	c := copier{of: lifted(b, "pkt").Funcs[0]}
	for _, p := range []pass{
		{"none", func(*Func) {}},
		{"fold", (*Func).Fold}, {"sweep", (*Func).Sweep}, {"again", (*Func).Fold}, {"sweep again", (*Func).Sweep}, {"divide", (*Func).Divide}, {"combine", combine},
	} {
		b.Run(p.name, func(b *testing.B) {
			for b.Loop() {
				p.run(c.copy())
			}
		})
		p.run(c.of)
	}
}

func BenchmarkOptimise(b *testing.B) {
	c := copier{of: lifted(b, "pkt").Funcs[0]}
	for b.Loop() {
		(&Program{Funcs: []*Func{c.copy()}}).Optimise(&Target{FullAddress: true})
	}
}

func BenchmarkLift(b *testing.B) {
	src := source(b, "pkt")
	w := new(Workspace)
	for b.Loop() {
		w.Reset()
		if _, err := Lift(src, w); err != nil {
			b.Fatal(err)
		}
	}
}
