package program

import (
	"bytes"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skep-ebpf/skep/internal/ctype"
	"github.com/skep-ebpf/skep/internal/testenv"
)

// FuzzRead holds that no bytes bring Read, Link or what shows their results to
// a panic, and that they end in a sentence.
func FuzzRead(f *testing.F) {
	objects, err := filepath.Glob("testdata/*.o")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range objects {
		f.Add(fixture(f, filepath.Base(path)))
	}
	f.Fuzz(func(t *testing.T, data []byte) { tryRead(t, data) })
}

// tryRead reads and links an object in every way.
func tryRead(t *testing.T, data []byte) {
	t.Helper()
	p, err := Read("x.o", bytes.NewReader(data))
	if err != nil {
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("error is no sentence: %q", err)
		}
		return
	}
	for _, param := range p.Params() {
		ctype.Name(param.Type)
		for _, value := range []string{"1", "10.0.0.1", "a,b"} {
			if err := p.Set(param.Name, value); err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("error is no sentence: %q", err)
			}
		}
	}
	for name := range p.Spec.Programs {
		img, err := Link(p.Spec, name, &LinkOptions{NoHostTypes: true, Kconfig: someConfig})
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error is no sentence: %q", err)
			}
			continue
		}
		for i := range img.Insns {
			img.Text(i)
			img.Where(i)
		}
	}
}

// TestHostile damages real objects: cut at many places, with bits flipped and
// words replaced by sizes that do not fit.
func TestHostile(t *testing.T) {
	rng := rand.New(rand.NewPCG(testenv.Seed(t), 0))
	for _, data := range hostileObjects(t) {
		for range 20 {
			tryRead(t, data[:rng.IntN(len(data))])
		}
		for range 60 {
			b := bytes.Clone(data)
			for range 1 + rng.IntN(4) {
				b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
			}
			tryRead(t, b)
		}
		for range 60 {
			b := bytes.Clone(data)
			at := rng.IntN(len(b)-8) &^ 3
			copy(b[at:], [][]byte{{0xff, 0xff, 0xff, 0xff}, {0, 0, 0, 0x80}, {0, 0, 0, 0}, {0xff, 0xff, 0, 0}, {1, 0, 0, 1}}[rng.IntN(5)])
			tryRead(t, b)
		}
	}
}

// hostileObjects gives the fixtures, and the small ones of the external samples
// where they are there.
func hostileObjects(t *testing.T) [][]byte {
	t.Helper()
	const small = 16 << 10
	var objects [][]byte
	add := func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".o" {
			return err
		}
		data, err := os.ReadFile(path)
		if len(data) > 0 && len(data) <= small {
			objects = append(objects, data)
		}
		return err
	}
	if err := filepath.WalkDir("testdata", add); err != nil {
		t.Fatal(err)
	}
	t.Run("samples", func(t *testing.T) {
		if err := filepath.WalkDir(testenv.Data(t, "ebpf-samples"), add); err != nil {
			t.Fatal(err)
		}
	})
	return objects
}
