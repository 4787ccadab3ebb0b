package program

import (
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skep-ebpf/skep/internal/testenv"
)

// TestSamples holds every real object to the promise: it loads and all of its
// programs link, or one sentence says why not.
func TestSamples(t *testing.T) {
	root := testenv.Data(t, "ebpf-samples")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".o" {
			return err
		}
		name, _ := filepath.Rel(root, path)
		p, err := Open(path)
		if err != nil {
			t.Logf("%-50s %v", name, err)
			isSentence(t, err)
			return nil
		}
		linked := 0
		for _, prog := range slices.Sorted(maps.Keys(p.Spec.Programs)) {
			img, err := Link(p.Spec, prog, nil)
			if err != nil {
				t.Logf("%-50s %v", name, err)
				isSentence(t, err)
				continue
			}
			linked++
			checkImage(t, img)
		}
		t.Logf("%-50s %d of %d programs linked", name, linked, len(p.Spec.Programs))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// isSentence checks an error's form: one line that a person can read.
func isSentence(t *testing.T, err error) {
	t.Helper()
	if text := err.Error(); strings.ContainsAny(text, "\n\t") || len(text) > 400 {
		t.Errorf("error is no sentence: %q", text)
	}
}

// checkImage checks what holds for every image.
func checkImage(t *testing.T, img *Image) {
	t.Helper()
	if len(img.Funcs) == 0 || img.Funcs[0].Start != 0 {
		t.Errorf("%s: the entry is not the first function: %v", img.Name, img.Funcs)
	}
	for i := range img.Insns {
		img.Where(i)
		if text := img.Text(i); strings.Contains(text, "INVALID") {
			t.Errorf("%s: instruction %d has no text: %s", img.Name, i, text)
		}
	}
}
