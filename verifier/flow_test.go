package verifier_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/edgegen"
	"github.com/skep-ebpf/skep/internal/progen"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/verifier"
	"github.com/skep-ebpf/skep/vm/difftest"
	"github.com/skep-ebpf/skep/vm/engine"
	"github.com/skep-ebpf/skep/vm/interp"
)

// TestFlowsRun runs accepted programs whose fate depends on their way, several times:
// they call for random numbers, and take another way each time. No access may leave
// its object.
func TestFlowsRun(t *testing.T) {
	checked, err := difftest.Machine(engine.Checked, 1)
	if err != nil {
		t.Fatal(err)
	}
	seed := testenv.Seed(t)
	runs := 0
	for i := range edgePrograms(t) / 4 {
		p := edgegen.Flow(rand.New(rand.NewPCG(seed, uint64(i))))
		if slices.ContainsFunc(p.Insns, func(ins isa.Instruction) bool { return ins.Op == isa.ClassJMP|isa.JmpJCOND }) {
			continue // a may_goto loop takes millions of turns
		}
		opts := verifier.Options{Kernel: []string{"6.12", "6.18", "7.2"}[i%3], Budget: 20_000}
		if _, err := verifier.CheckImage(image(p), specs(p), &opts); err != nil {
			continue
		}
		c := &progen.Case{Type: ebpf.SchedCLS, Progs: [][]isa.Instruction{p.Insns}, Packet: make([]byte, 64)}
		for _, m := range p.Maps {
			c.Maps = append(c.Maps, progen.Map{Name: m.Name, Type: m.Type, KeySize: m.KeySize, ValueSize: m.ValueSize, MaxEntries: m.MaxEntries})
		}
		for range 10 {
			var fault *interp.Fault
			if _, err := checked.Run(c); errors.As(err, &fault) {
				t.Fatalf("program %d of seed %d under %s: %v\n%s", i, seed, opts.Kernel, err, listing(p))
			}
			runs++
		}
	}
	t.Logf("%d runs", runs)
}
