package difftest

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/progen"
)

// TestCaseFile: what is written is read again.
func TestCaseFile(t *testing.T) {
	results := []*Result{
		{Refused: errno.EINVAL},
		{Ret: 7, Packet: []byte{1, 2}, Ctx: []byte{}, Maps: map[string]map[string][]byte{
			"empty": {}, "m": {"01": {2, 3}, "ff": {4, 5}},
		}},
	}
	for seed := range uint64(50) {
		c := progen.New(seed)
		if c.Ctx == nil {
			c.Ctx = []byte{}
		}
		want := results[seed%2]
		var b bytes.Buffer
		if err := Write(&b, c, want, "two\nlines"); err != nil {
			t.Fatal(err)
		}
		gotCase, got, err := Read(&b)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if d := cmp.Diff(c, gotCase); d != "" {
			t.Errorf("seed %d: the case differs\n%s", seed, d)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("seed %d: the result differs\n%s", seed, d)
		}
	}
}

func TestCaseFileErrors(t *testing.T) {
	for _, text := range []string{
		"nonsense", "\t00 00", "type Nothing", "map m Array 4", "map m Array 4 4 4 x", "packet 0", "seed", "want ret -1",
		"program\n\tzz", "program\n\t00", "map m Array 4 4 4 0\n\t00",
	} {
		if _, _, err := Read(strings.NewReader(text)); err == nil || !strings.HasPrefix(err.Error(), "line ") {
			t.Errorf("%q gives %v", text, err)
		}
	}
}
