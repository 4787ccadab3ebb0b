package progen

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDeterministic: a seed stands for its case.
func TestDeterministic(t *testing.T) {
	for seed := range uint64(200) {
		if diff := cmp.Diff(New(seed), New(seed)); diff != "" {
			t.Fatalf("seed %d gives two cases:\n%s", seed, diff)
		}
	}
}

// TestBounds: jumps, calls and map loads stay within their case.
func TestBounds(t *testing.T) {
	for seed := range uint64(2000) {
		c := New(seed)
		if n := len(c.Packet); n < 14 || n > 1540 {
			t.Fatalf("seed %d: packet of %d bytes", seed, n)
		}
		for _, insns := range c.Progs {
			if len(insns) == 0 {
				t.Fatalf("seed %d: a program is empty", seed)
			}
			for i := 0; i < len(insns); i++ {
				ins := insns[i]
				switch {
				case ins.IsWide() && (ins.Src == 1 || ins.Src == 2) && int(ins.Imm) >= len(c.Maps):
					t.Fatalf("seed %d, instruction %d: map %d of %d", seed, i, ins.Imm, len(c.Maps))
				case ins.Class() == 5 && ins.Op>>4 != 8 && ins.Op>>4 != 9:
					if to := i + 1 + int(ins.Off); to < 0 || to >= len(insns) {
						t.Fatalf("seed %d, instruction %d: jump to %d of %d", seed, i, to, len(insns))
					}
				}
				if ins.IsWide() {
					i++
				}
			}
		}
	}
}
