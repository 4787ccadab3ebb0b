package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestRunScript(t *testing.T) {
	t.Setenv("SKEP_DATA", "/somewhere/else")
	t.Setenv("SKEP_SEED", "7")
	script := string(runScript("/skep/vm", []string{"-test.run", "^It's$"}))
	for _, want := range []string{"cd '/skep/vm'\n", "export SKEP_DATA='/data'\n", "export SKEP_SEED='7'\n", `exec /test '-test.run' '^It'\''s$'`} {
		if !strings.Contains(script, want) {
			t.Errorf("no %q in\n%s", want, script)
		}
	}
}

// TestArchive: headers and contents begin at multiples of four, and say their
// lengths.
func TestArchive(t *testing.T) {
	var b bytes.Buffer
	a := &archive{w: &b}
	a.dir("bin")
	a.bytes("bin/a", 0o755, []byte("hello"))
	a.end()
	if a.err != nil {
		t.Fatal(a.err)
	}
	const header = 110
	got := b.String()
	for _, c := range []struct {
		at   int
		want string
	}{
		{0, "070701"}, {14, "000041ED"}, {header, "bin\x00"},
		{116, "070701"}, {116 + 54, "00000005"}, {116 + 94, "00000006"}, {116 + header, "bin/a\x00hello\x00\x00\x00"},
		{240, "070701"}, {240 + header, "TRAILER!!!\x00"},
	} {
		if !strings.HasPrefix(got[min(c.at, len(got)):], c.want) {
			t.Errorf("at %d there is no %q in %q", c.at, c.want, got)
		}
	}
}
