package kernel

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier/kernels"
)

// TestSamples loads real objects: what Linux 6.18 took is loaded, and of what this kernel
// refuses it is said why in a sentence.
func TestSamples(t *testing.T) {
	testenv.Kernel(t)
	root := testenv.Data(t, "ebpf-samples")
	accepted := acceptedSamples(t)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".o" {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			loadSample(t, path, accepted[name])
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// loadSample loads the programs of an object that Linux 6.18 took, and each other one.
func loadSample(t *testing.T, path string, accepted []string) {
	p, err := program.Open(path)
	if err != nil {
		t.Skip(err)
	}
	wanted := [][]string{}
	if len(accepted) > 0 {
		wanted = append(wanted, accepted)
	}
	for prog := range p.Spec.Programs {
		if !slices.Contains(accepted, prog) {
			wanted = append(wanted, []string{prog})
		}
	}
	host, err := kernels.Host()
	if err != nil {
		t.Fatal(err)
	}
	for _, names := range wanted {
		c, err := Load(p, &Options{Programs: names})
		if err == nil {
			c.Close()
			continue
		}
		t.Log(err)
		if text := err.Error(); strings.ContainsAny(text, "\n\t") || len(text) > 600 {
			t.Errorf("that is no sentence: %q", text)
		}
		if host.Version() == kernels.V(6, 18) && slices.Equal(names, accepted) {
			t.Error("but Linux 6.18 took it")
		}
	}
}

// acceptedSamples are the programs of each object that Linux 6.18 took.
func acceptedSamples(t *testing.T) map[string][]string {
	text, err := os.ReadFile(filepath.Join(testenv.Data(t, "results"), "linux-6.18-ebpf-samples.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []struct {
		Project, Obj, Fn string
		OK               bool
	}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	accepted := make(map[string][]string)
	for _, s := range all {
		if s.OK {
			object := s.Project + "/" + s.Obj
			accepted[object] = append(accepted[object], s.Fn)
		}
	}
	return accepted
}
