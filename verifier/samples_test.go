package verifier_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/internal/verifiersuite"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier"
)

// sample is what Linux 6.18 said of one program of the sample objects.
type sample struct {
	Project, Obj, Fn, Type string
	OK                     bool
	Verified               int // instructions
	Err                    string
}

// TestSamples demands that every real program that Linux 6.18 accepts is
// accepted, and none that its verifier refuses.
func TestSamples(t *testing.T) {
	dir := testenv.Data(t, "ebpf-samples")
	types := verifiersuite.KernelTypes(t, "6.18")
	opts := &verifier.Options{Kernel: "6.18", KernelTypes: types, Link: program.LinkOptions{KernelTypes: types}}
	for _, s := range readSamples(t) {
		if strings.Contains(s.Err, "bpf_override_return") {
			continue // that kernel is built without it, which no table of versions says
		}
		t.Run(s.Project+"/"+s.Obj+"/"+s.Fn, func(t *testing.T) {
			p, err := program.Open(filepath.Join(dir, s.Project, s.Obj))
			if err != nil {
				t.Skip(err)
			}
			if !s.in(p.Spec) {
				t.Skip("the object does not have it")
			}
			res, err := verifier.Check(p.Spec, s.Fn, opts)
			var refusal *verifier.Error
			switch {
			case err == nil && s.OK:
				t.Logf("%d instructions processed, %d by Linux", res.Processed, s.Verified)
			case errors.As(err, &refusal) && !s.OK && refusal.Cause != verifier.CauseUnsupported:
			default:
				t.Errorf("Linux accepts: %v %s; skep: %v", s.OK, s.Err, err)
			}
		})
	}
}

// readSamples reads what Linux said of those programs that got as far as its
// verifier.
func readSamples(t testing.TB) []sample {
	raw, err := os.ReadFile(filepath.Join(testenv.Data(t, "results"), "linux-6.18-ebpf-samples.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all, judged []sample
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if s.Fn != "" && (s.OK || strings.HasPrefix(s.Err, "verifier:")) {
			judged = append(judged, s)
		}
	}
	return judged
}

// in reports whether a spec has the program, and gives it its type where its
// section does not tell.
func (s *sample) in(spec *ebpf.CollectionSpec) bool {
	p := spec.Programs[s.Fn]
	if p == nil {
		return false
	}
	for t := ebpf.UnspecifiedProgram; p.Type == ebpf.UnspecifiedProgram && t < 64; t++ {
		if t.String() == s.Type {
			p.Type = t
		}
	}
	return true
}
