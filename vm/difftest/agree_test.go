package difftest

import (
	"flag"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/skep-ebpf/skep/internal/progen"
	"github.com/skep-ebpf/skep/internal/testenv"
)

var agreeFlag = flag.Int("agree", 4000, "number of random programs that all engines run; a tenth with -short")

// TestEnginesAgree runs random programs in every engine, and holds what they leave
// against what the referee does. It needs no kernel. -seed and -agree 1 repeat one.
func TestEnginesAgree(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = testenv.Seed(t) >> 1
	}
	n := *agreeFlag
	if testing.Short() {
		n /= 10
	}
	t.Logf("-seed %d -agree %d", seed, n)
	var (
		next, found, ended atomic.Uint64
		workers            sync.WaitGroup
	)
	for range runtime.GOMAXPROCS(0) {
		all := engines(t, 2)
		workers.Go(func() {
			for i := next.Add(1) - 1; i < uint64(n) && found.Load() < minimised; i = next.Add(1) - 1 {
				c := progen.New(seed + i)
				want, err := all[0].Run(c)
				if err != nil {
					ended.Add(1)
					continue // such as by a fault
				}
				for _, e := range all[1:] {
					if d := diff(e, c, want); d != "" {
						found.Add(1)
						t.Errorf("seed %d, %s program: %s differs from %s\n%s", c.Seed, c.Type, e.Name, all[0].Name, d)
					}
				}
			}
		})
	}
	workers.Wait()
	if bad := ended.Load(); float64(bad) > (1-acceptance)*float64(n) {
		t.Errorf("%d of %d programs do not run", bad, n)
	}
}
