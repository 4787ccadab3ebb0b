package edgegen

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/internal/kernelrun"
	"github.com/skep-ebpf/skep/internal/testenv"
)

// TestEdge demands that the running kernel accepts a fair share of the programs,
// and refuses one.
func TestEdge(t *testing.T) {
	testenv.Kernel(t)
	const n = 150
	accepted := 0
	words := map[string]int{}
	for i := range n {
		p := New(rand.New(rand.NewPCG(1, uint64(i))))
		var maps []*kernelrun.Map
		for _, spec := range p.Maps {
			m, err := kernelrun.NewMap(spec)
			if err != nil {
				t.Fatal(err)
			}
			maps = append(maps, m)
		}
		prog, err := kernelrun.Load(ebpf.SchedCLS, p.Insns, maps, false)
		for errors.Is(err, unix.EAGAIN) {
			prog, err = kernelrun.Load(ebpf.SchedCLS, p.Insns, maps, false)
		}
		if err == nil {
			accepted++
			prog.Close()
		} else {
			words[err.Error()]++
		}
		for _, m := range maps {
			m.Close()
		}
	}
	t.Logf("%d of %d accepted; %v", accepted, n, words)
	if accepted < n/4 || accepted > 3*n/4 {
		t.Errorf("%d of %d are accepted: that is not at the edge", accepted, n)
	}
}
