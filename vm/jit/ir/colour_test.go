package ir

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// narrow and wide are targets with few and with many registers.
var (
	narrow = Target{Fixed: [6]Reg{0, 7, 6, 2, 1, 8}, Free: []Reg{3}, Scratch: [2]Reg{10, 11}, All: 0xdff}
	wide   = Target{Fixed: [6]Reg{0, 7, 6, 2, 1, 8}, Free: []Reg{3, 5, 13, 14, 12, 9}, Scratch: [2]Reg{10, 11}, All: 0x7fef}
)

// same checks that a program does after a pass what it did before.
func same(t *testing.T, seed uint64, target *Target, pass func(*Program)) {
	t.Helper()
	args := []uint64{seed, ^seed, 7}
	r0, trace := (&evaluator{t: t, prog: newRandom(seed)}).run(args...)
	after := newRandom(seed)
	pass(after)
	got, gotTrace := (&evaluator{t: t, prog: after, coloured: target != nil, target: target}).run(args...)
	if r0 != got || !slices.Equal(trace, gotTrace) {
		t.Errorf("program %d gives %#x, not %#x; seen outside (-want +got):\n%s", seed, got, r0, cmp.Diff(trace, gotTrace))
	}
}

func TestColourRandom(t *testing.T) {
	for seed := range uint64(1000) {
		for _, target := range []*Target{&narrow, &wide} {
			same(t, seed, target, func(p *Program) {
				for _, f := range p.Funcs {
					f.Liveness()
				}
				p.Colour(target)
			})
		}
		if t.Failed() {
			return
		}
	}
}
