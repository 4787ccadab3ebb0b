package jit_test

import (
	"bytes"
	"sync"
	"testing"

	"github.com/skep-ebpf/skep/internal/progen"
	"github.com/skep-ebpf/skep/vm/internal/proof"
	"github.com/skep-ebpf/skep/vm/interp"
	"github.com/skep-ebpf/skep/vm/jit"
	"github.com/skep-ebpf/skep/vm/maps"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// TestDeterministic compiles programs twice, for both architectures, and all of them once
// more at the same time.
func TestDeterministic(t *testing.T) {
	compiled := 0
	var again sync.WaitGroup
	defer again.Wait()
	for seed := range uint64(100) {
		c := progen.New(seed)
		typ, err := progtype.Get(c.Type)
		if err != nil {
			t.Fatal(err)
		}
		var all []maps.Map
		for i := range c.Maps {
			m, err := maps.New(c.Maps[i].Spec(), 2)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { m.Close() })
			all = append(all, m)
		}
		facts, err := proof.Of(typ, c.Progs[0], all)
		if err != nil {
			continue // it wants what its maps hold
		}
		compiled++
		p, err := interp.Compile(&interp.Input{Name: "test", Type: typ, Insns: c.Progs[0], Maps: all, Facts: facts})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for _, arch := range []string{"amd64", "arm64"} {
			one, err := jit.Assemble(p, arch)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if other, err := jit.Assemble(p, arch); err != nil || !bytes.Equal(one.Bytes, other.Bytes) {
				t.Errorf("seed %d, %s: two compilations differ, %v", seed, arch, err)
			}
			again.Go(func() {
				if other, err := jit.Assemble(p, arch); err != nil || !bytes.Equal(one.Bytes, other.Bytes) {
					t.Errorf("seed %d, %s: a compilation beside others differs, %v", seed, arch, err)
				}
			})
		}
	}
	if compiled < 50 {
		t.Errorf("%d of 100 programs were compiled", compiled)
	}
}
