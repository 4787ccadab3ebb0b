package ir

import (
	"testing"

	"github.com/skep-ebpf/skep/isa"
)

// TestWorkspace lifts programs of different lengths in one workspace: it has the memory of
// the last one as long as that is not very long.
func TestWorkspace(t *testing.T) {
	w := new(Workspace)
	for _, n := range []int{10, 1000, maxKept, 20} {
		src := &Source{Insns: make([]isa.Instruction, n)}
		for at := range src.Insns {
			src.Insns[at] = isa.Instruction{Op: isa.ClassALU64 | isa.AluADD, Imm: 1}
		}
		src.Insns[n-1].Op = isa.ClassJMP | isa.JmpEXIT
		p, err := Lift(src, w)
		if err != nil {
			t.Fatal(err)
		}
		lifted := 0
		for _, b := range p.Funcs[0].Blocks {
			lifted += len(b.Ins)
		}
		if lifted != n+1 { // a jump before them
			t.Errorf("%d instructions become %d", n, lifted)
		}
		w.Reset()
		if kept := len(w.ins.all); kept > maxKept || kept < n && n < maxKept {
			t.Errorf("keeps memory for %d instructions after a program of %d", kept, n)
		}
	}
}
