package verifier_test

import (
	"testing"

	"github.com/skep-ebpf/skep/internal/verifiersuite"
	"github.com/skep-ebpf/skep/verifier"
)

// TestProcessed holds the number of instructions looked at against what kernels said
// of the same cases: it shows that states are kept, forgotten and compared as there.
func TestProcessed(t *testing.T) {
	for _, tc := range []struct {
		suite, kernel, machine string
		// differ is how many cases may differ, since Linux followed which slots are read
		// in other ways before 7.0.
		differ int
		// onlyMain says that the kernel counts the main program without global functions
		// and what runs asynchronously.
		onlyMain bool
	}{
		{"7.2", "7.2", "vm-7.2", 1, true},
		{"7.2", "6.18", "host-6.18", 1, false},
		{"6.12", "6.18", "host-6.18", 1, false},
		{"6.12", "6.12", "vm-6.12", 1, false},
	} {
		t.Run(tc.suite+" in "+tc.kernel, func(t *testing.T) {
			suite := verifiersuite.Read(t, tc.suite)
			same, differ := 0, 0
			for _, c := range suite.Cases {
				said, ok := c.Kernels[tc.machine]
				if !ok || said.Processed == 0 || c.Load == nil {
					continue
				}
				img, maps, err := c.Image()
				if err != nil {
					continue
				}
				res, err := verifier.CheckImage(img, maps, &verifier.Options{Kernel: tc.kernel, KernelTypes: suite.Types, Lacks: c.Lacks()})
				switch accepted := err == nil; {
				case accepted != (said.Verdict == "accept"), tc.onlyMain && res.Processed > said.Processed:
				case res.Processed == said.Processed:
					same++
				default:
					differ++
					t.Logf("%s: %d instructions, Linux %d", c.Name(), res.Processed, said.Processed)
				}
			}
			t.Logf("%d cases the same, %d not", same, differ)
			if differ > tc.differ {
				t.Errorf("%d cases differ, want at most %d", differ, tc.differ)
			}
		})
	}
}
