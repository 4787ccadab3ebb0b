package memory_test

import (
	"strings"
	"testing"

	"github.com/skep-ebpf/skep/vm/memory"
)

func TestFields(t *testing.T) {
	kernel := types(t)
	b := make([]byte, 96)
	for _, tt := range []struct {
		path string
		put  uint64
		want uint64 // what fits
		end  uint32
	}{
		{"id", 7, 7, 4}, {"low", 0xd, 5, 11}, {"high", 0x3e, 0x1e, 11}, {"half", 1<<32 + 3, 3, 28},
		{"whole", 1<<40 + 1, 1<<40 + 1, 32}, {"comm", 0x6261, 0x6261, 24}, {"low", 2, 2, 11},
	} {
		f, err := memory.FieldOf(kernel, "thing", tt.path)
		if err != nil {
			t.Fatal(err)
		}
		f.Put(b, tt.put)
		if got := f.Get(b); got != tt.want || f.End() != tt.end {
			t.Errorf("%s is %#x, want %#x; it ends at %d, want %d", tt.path, got, tt.want, f.End(), tt.end)
		}
	}
	if f, err := memory.FieldOf(kernel, "thing", "high"); err != nil || f.Get(b) != 0x1e {
		t.Errorf("its neighbour changed a bit field: %#x, %v", f.Get(b), err)
	}
	for path, want := range map[string]string{"idd": "struct thing has no field idd; did you mean id?", "comm.x": "has no field x"} {
		if _, err := memory.FieldOf(kernel, "thing", path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	if _, err := memory.FieldOf(nil, "thing", "id"); err == nil {
		t.Error("no error without types")
	}
}
