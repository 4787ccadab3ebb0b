package memory_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/memory"
)

func TestChanges(t *testing.T) {
	m := memory.New(types(t))
	defer m.Close()
	addr, err := m.Struct("thing", map[string]any{"n": 5, "low": 5, "colour": "RED"})
	if err != nil {
		t.Fatal(err)
	}
	was := m.Snapshot()
	if got := was.Changes(); got != nil {
		t.Errorf("nothing changed, and it says %q", got)
	}
	b := mem.View(uintptr(addr), 96)
	b[4], b[5], b[6], b[7] = 0xfe, 0xff, 0xff, 0xff // n
	b[10], b[12], b[68], b[72] = 6, 2, 9, 0x10      // low, colour, pair[1], any
	want := []string{"thing.n: 5 → -2", "thing.low: 5 → 6", "thing.colour: RED → BLUE", "thing.pair[1]: 0 → 9", "thing.any: 0x0 → 0x10"}
	if diff := cmp.Diff(want, was.Changes()); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}
