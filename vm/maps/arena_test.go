package maps

import (
	"errors"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
)

func arenaSpec(pages uint32) *ebpf.MapSpec {
	return &ebpf.MapSpec{Name: "arena", Type: ebpf.Arena, MaxEntries: pages, Flags: FlagMmapable}
}

func TestArenaRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*ebpf.MapSpec)
		want   error
	}{
		"key":            {func(s *ebpf.MapSpec) { s.KeySize = 4 }, errno.EINVAL},
		"no pages":       {func(s *ebpf.MapSpec) { s.MaxEntries = 0 }, errno.EINVAL},
		"not mmapable":   {func(s *ebpf.MapSpec) { s.Flags = 0 }, errno.EINVAL},
		"other flags":    {func(s *ebpf.MapSpec) { s.Flags |= FlagRdonly }, errno.EINVAL},
		"no page":        {func(s *ebpf.MapSpec) { s.MapExtra = 0x7f0000000010 }, errno.EINVAL},
		"too large":      {func(s *ebpf.MapSpec) { s.MaxEntries = 1<<20 + 1 }, errno.E2BIG},
		"crosses 4 GiB":  {func(s *ebpf.MapSpec) { s.MapExtra = 0x7f00fffff000; s.MaxEntries = 2 }, errno.ERANGE},
		"all of it":      {func(s *ebpf.MapSpec) { s.MapExtra = 0x7f0000000000; s.MaxEntries = 1 << 20 }, nil},
		"anywhere":       {func(s *ebpf.MapSpec) {}, nil},
		"4 GiB anywhere": {func(s *ebpf.MapSpec) { s.MaxEntries = 1 << 20 }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			spec := arenaSpec(4)
			tt.change(spec)
			m, err := New(spec, 1)
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if m != nil {
				m.Close()
			}
		})
	}
}

func TestArenaPages(t *testing.T) {
	spec := arenaSpec(8)
	spec.MapExtra = 0x7f0000100000
	m, err := New(spec, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	a := m.(*Arena)
	at := func(page uint64) uint64 { return spec.MapExtra + page*pageSize }
	for i, step := range []struct{ got, want uint64 }{
		{a.Alloc(0, 2), at(0)},
		{a.Alloc(at(4), 1), at(4)},
		{a.Alloc(at(3), 2), 0}, // the second is taken
		{a.Alloc(at(3)+1, 1), 0},
		{a.Alloc(at(8), 1), 0},
		{a.Alloc(0, 9), 0},
		{a.Alloc(0, 3), at(5)}, // 2 pages before it are too few
		{a.Alloc(0, 1), at(2)},
	} {
		if step.got != step.want {
			t.Errorf("allocation %d gave %#x, not %#x", i, step.got, step.want)
		}
	}
	if !a.Allocated(0, 3*pageSize) || a.Allocated(3*pageSize-1, 2) {
		t.Error("not the pages that were allocated")
	}
	copy(a.Touch(0, 3), "abc")
	a.Free(at(0), 1)
	if a.Allocated(0, 1) {
		t.Error("a page is there after it was freed")
	}
	if err := a.Reserve(at(0), 2); err != errno.EBUSY {
		t.Errorf("reserve pages of which one is taken: %v", err)
	}
	if err := a.Reserve(at(7), 2); err != errno.EINVAL {
		t.Errorf("reserve pages behind the end: %v", err)
	}
	if err := a.Reserve(at(0), 1); err != nil {
		t.Error(err)
	}
	if a.Alloc(at(0), 1) != 0 || a.Allocated(0, 1) {
		t.Error("a reserved page was allocated")
	}
	if b := a.Touch(0, 3); string(b) != "\x00\x00\x00" {
		t.Errorf("a page that was freed has %q", b)
	}
	if a.Touch(8*pageSize, 1) != nil {
		t.Error("memory behind the end")
	}
}
