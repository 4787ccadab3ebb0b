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
	Project, Obj, Fn string
	OK               bool
	Verified         int // instructions
	Err              string
}

// TestSamples demands that every real program that Linux 6.18 accepts is
// accepted, and none that its verifier refuses.
func TestSamples(t *testing.T) {
	dir := testenv.Data(t, "ebpf-samples")
	raw, err := os.ReadFile(filepath.Join(testenv.Data(t, "results"), "linux-6.18-ebpf-samples.json"))
	if err != nil {
		t.Fatal(err)
	}
	var samples []sample
	if err := json.Unmarshal(raw, &samples); err != nil {
		t.Fatal(err)
	}
	types := verifiersuite.KernelTypes(t, "6.18")
	opts := &verifier.Options{Kernel: "6.18", KernelTypes: types, Link: program.LinkOptions{KernelTypes: types}}
	var agree, of int
	for _, s := range samples {
		if s.Fn == "" || !s.OK && !strings.HasPrefix(s.Err, "verifier:") {
			continue // not loadable, for reasons that are no verdict
		}
		of++
		t.Run(s.Project+"/"+s.Obj+"/"+s.Fn, func(t *testing.T) {
			p, err := program.Open(filepath.Join(dir, s.Project, s.Obj))
			if err != nil {
				t.Skip(err)
			}
			prog := sampleProgram(p.Spec, s.Fn)
			if prog == "" {
				t.Skip("the object does not have it")
			}
			res, err := verifier.Check(p.Spec, prog, opts)
			var refusal *verifier.Error
			switch {
			case err == nil && s.OK:
				agree++
				t.Logf("%d instructions processed, %d by Linux", res.Processed, s.Verified)
			case errors.As(err, &refusal) && !s.OK && refusal.Cause != verifier.CauseUnsupported:
				agree++
			default:
				t.Logf("Linux accepts: %v %s; skep: %v", s.OK, s.Err, err)
			}
		})
	}
	t.Logf("%d of %d agree", agree, of)
}

// sampleProgram finds a program by the name of its function.
func sampleProgram(spec *ebpf.CollectionSpec, fn string) string {
	if spec.Programs[fn] != nil {
		return fn
	}
	return ""
}
