package examples_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// TestObjectsAreFresh holds each object's line information against its source:
// it has the text of every line that it was compiled from.
func TestObjectsAreFresh(t *testing.T) {
	for _, source := range sources(t) {
		t.Run(source, func(t *testing.T) {
			spec, err := ebpf.LoadCollectionSpec(object(source))
			if err != nil {
				t.Fatal(err)
			}
			type place struct {
				file string
				line uint32
			}
			lines := map[place]*btf.Line{} // each once
			for _, p := range spec.Programs {
				for _, ins := range p.Instructions {
					if line, ok := ins.Source().(*btf.Line); ok {
						lines[place{line.FileName(), line.LineNumber()}] = line
					}
				}
			}
			if len(lines) == 0 {
				t.Fatal("the object has no line information")
			}
			for at, line := range lines {
				if got := sourceLine(t, line); got != line.Line() {
					t.Errorf("%s:%d is\n%q and the object has\n%q: run make generate", at.file, at.line, got, line.Line())
				}
			}
		})
	}
}

// sourceLine gives the line of the source that line is about. Files are named
// relative to the root.
func sourceLine(t *testing.T, line *btf.Line) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", line.FileName()))
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Split(string(text), "\n")
	if n := int(line.LineNumber()); n >= 1 && n <= len(all) {
		return all[n-1]
	}
	return ""
}
