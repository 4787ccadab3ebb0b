package difftest

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/progen"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/verifier"
)

// TestModes runs random programs in all modes of the machine, and holds them against
// the checked interpreter. It needs no kernel, and so runs on every processor.
// -seed and -programs 1 repeat one.
func TestModes(t *testing.T) {
	all := engines(t, 2)
	seed := *seedFlag
	if seed == 0 {
		seed = testenv.Seed(t) >> 1
	}
	n := max(*programsFlag/5, 1) // three modes and two proofs of each take their time
	if testing.Short() {
		n = max(n/10, 1)
	}
	t.Logf("-seed %d -programs %d", seed, n)
	start, refused, found := time.Now(), 0, 0
	for i := range uint64(n) {
		c := progen.New(seed + i)
		want, fault := all[0].Run(c)
		for _, e := range all[1:] {
			got, err := e.Run(c)
			if no := (*verifier.Error)(nil); errors.As(err, &no) {
				refused++
				break
			}
			if err = errors.Join(err, fault); err == nil && cmp.Equal(want, got) {
				continue
			}
			t.Errorf("seed %d, %s program: %s differs from %s: %v\n%s", c.Seed, c.Type, e.Name, all[0].Name, err, cmp.Diff(want, got))
			if found++; found > 10 {
				t.Fatal("more differences than it makes sense to list")
			}
			break
		}
	}
	took := time.Since(start)
	t.Logf("%d programs, %.0f a second; the verifier refused %d (%.1f %%)", n, float64(n)/took.Seconds(), refused, 100*float64(refused)/float64(n))
	if float64(refused) > (1-acceptance)*float64(n) {
		t.Errorf("the verifier refused %d of %d programs", refused, n)
	}
}
