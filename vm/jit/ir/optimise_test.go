package ir

import "testing"

func TestOptimiseRandom(t *testing.T) {
	for seed := range uint64(1000) {
		for _, target := range []*Target{&narrow, &wide} {
			same(t, seed, target, func(p *Program) {
				p.Calls = testCalls
				p.Optimise(target)
				p.Colour(target)
			})
		}
		if t.Failed() {
			return
		}
	}
}
