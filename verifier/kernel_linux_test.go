package verifier_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/internal/edgegen"
	"github.com/skep-ebpf/skep/internal/kernelrun"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/verifier"
)

// TestAgainstKernel holds the verdict on random programs at the edge of what is
// accepted against the running kernel's.
func TestAgainstKernel(t *testing.T) {
	testenv.Kernel(t)
	againstKernel(t, edgePrograms(t), &verifier.Options{Kernel: runningKernel(t)})
}

// againstKernel compares n programs.
func againstKernel(t *testing.T, n int, opts *verifier.Options) {
	seed := testenv.Seed(t)
	count := map[string]int{}
	for i := range n {
		p := generated(seed, i)
		o := compareWithKernel(t, p, opts)
		count[o]++
		switch o {
		case "same: accepted", "same: refused", "too costly", "unknown":
			continue
		}
		small := minimise(p, func(p *edgegen.Program) bool { return compareWithKernel(t, p, opts) == o })
		_, kernel := kernelSays(t, small, true)
		_, ours := verifier.CheckImage(image(small), specs(small), opts)
		t.Errorf("program %d of seed %d: %s\nskep: %v\nkernel: %v\n%s", i, seed, o, ours, lastWords(kernel), listing(small))
		if count[o] > 10 {
			t.FailNow()
		}
	}
	t.Log(count)
}

// runningKernel is the running kernel's version, as the tables name it.
func runningKernel(t *testing.T) string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	parts := strings.SplitN(unix.ByteSliceToString(u.Release[:]), ".", 3)
	return parts[0] + "." + parts[1]
}

func compareWithKernel(t *testing.T, p *edgegen.Program, opts *verifier.Options) string {
	limited := *opts
	limited.Budget = 50_000
	_, ours := verifier.CheckImage(image(p), specs(p), &limited)
	var refusal *verifier.Error
	if ours != nil && !errors.As(ours, &refusal) {
		return "failed: " + ours.Error()
	}
	if refusal != nil && refusal.Cause == verifier.CauseTooComplex {
		return "too costly"
	}
	if refusal != nil && refusal.Cause == verifier.CauseUnsupported {
		return "unknown"
	}
	accepted, _ := kernelSays(t, p, false)
	switch {
	case accepted && refusal == nil:
		return "same: accepted"
	case !accepted && refusal != nil:
		return "same: refused"
	case accepted:
		return "falsely refused"
	}
	return "falsely accepted"
}

// kernelSays gives the program to the running kernel.
func kernelSays(t testing.TB, p *edgegen.Program, withLog bool) (accepted bool, err error) {
	t.Helper()
	var maps []*kernelrun.Map
	for _, spec := range p.Maps {
		m, err := kernelrun.NewMap(spec)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		maps = append(maps, m)
	}
	for {
		prog, err := kernelrun.Load(ebpf.SchedCLS, p.Insns, maps, withLog)
		switch {
		case err == nil:
			return true, prog.Close()
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOMEM):
			continue
		}
		var rejected *kernelrun.Rejected
		if !errors.As(err, &rejected) {
			t.Fatal(err)
		}
		return false, err
	}
}

// lastWords are the end of a kernel's log.
func lastWords(err error) string {
	var rejected *kernelrun.Rejected
	if !errors.As(err, &rejected) {
		return "accepted"
	}
	lines := strings.Split(strings.TrimSpace(rejected.Log), "\n")
	return strings.Join(lines[max(0, len(lines)-12):], "\n")
}
