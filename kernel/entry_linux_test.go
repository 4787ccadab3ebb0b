package kernel

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/program"
)

// redirecting is an object whose program "count" redirects packets to entry 0 of a map, of
// a type, in which "there" adds n to the first value of map "hits" for each and drops it.
func redirecting(typ ebpf.MapType, section string, n int32) *program.Program {
	p := counting("xdp", ebpf.XDP, ebpf.AttachXDP, "", 1)
	p.Spec.Maps["to"] = &ebpf.MapSpec{Name: "to", Type: typ, KeySize: 4, ValueSize: 8, MaxEntries: 2}
	if typ == ebpf.CPUMap {
		p.Spec.Maps["to"].MaxEntries = 1024 // and gets as many as there are CPUs
	}
	there := p.Spec.Programs["count"].Copy()
	there.Name, there.SectionName = "there", section
	there.Instructions[1].Constant = int64(n)
	p.Spec.Programs["there"] = there
	p.Spec.Programs["count"].Instructions = asm.Instructions{
		asm.LoadMapPtr(asm.R1, 0).WithReference("to"),
		asm.Mov.Imm(asm.R2, 0),
		asm.Mov.Imm(asm.R3, 0),
		asm.FnRedirectMap.Call(),
		asm.Return(),
	}
	return p
}

// inMap loads the object and attaches it: to left, whose peer takes redirected packets.
func inMap(t *testing.T, typ ebpf.MapType, point string) *Collection {
	t.Helper()
	attached(t, counting("xdp", ebpf.XDP, ebpf.AttachXDP, "", 2), "xdp/right")
	at := attachments(t, "there", point, "count", "xdp/left")
	c, err := Load(redirecting(typ, point, 1), &Options{At: at})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := c.Attach(at); err != nil {
		t.Fatal(err)
	}
	return c
}

// attachments are those of programs and points that take turns.
func attachments(t *testing.T, names ...string) (at []hook.Attachment) {
	t.Helper()
	for i := 0; i < len(names); i += 2 {
		p, err := hook.Parse(names[i+1])
		if err != nil {
			t.Fatal(err)
		}
		at = append(at, hook.Attachment{Program: names[i], Point: p})
	}
	return at
}

// becomes waits until a count is what it should be: packets reach another CPU some time
// later.
func becomes(t *testing.T, count func() uint64, want uint64) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); count() != want; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it ran %d times, want %d", count(), want)
		}
	}
}

var inMaps = []struct {
	typ   ebpf.MapType
	point string
}{
	{ebpf.DevMap, "xdp/devmap/to:0@left"},
	{ebpf.DevMapHash, "xdp/devmap/to:0@left"},
	{ebpf.CPUMap, "xdp/cpumap/to:0"},
}

// A program in a map runs for the packets that are redirected there, as long as it is
// attached.
func TestEntry(t *testing.T) {
	testenv.KernelFrom(t, 5, 9, "cpumaps have no programs")
	for _, tc := range inMaps {
		kind, _, _ := strings.Cut(strings.TrimPrefix(tc.point, "xdp/"), "/")
		t.Run("xdp/"+kind+"/"+tc.typ.String(), func(t *testing.T) {
			ownNetwork(t)
			c := inMap(t, tc.typ, tc.point)
			hits := func() (n uint64) {
				if err := c.Maps["hits"].Lookup(uint32(0), &n); err != nil {
					t.Fatal(err)
				}
				return n
			}
			send(t, "right")
			becomes(t, hits, 1)
			if err := c.Detach(); err != nil {
				t.Fatal(err)
			}
			var there [2]uint32
			if err := c.Maps["to"].Lookup(uint32(0), &there); err == nil {
				t.Errorf("the map still leads to %d", there)
			}
		})
	}
}

// Pinned programs stay in their maps, are replaced there, and leave them.
func TestPinnedEntry(t *testing.T) {
	testenv.KernelFrom(t, 5, 9, "cpumaps have no programs")
	for _, tc := range inMaps {
		t.Run(tc.typ.String(), func(t *testing.T) {
			ownNetwork(t)
			p := ownPins(t)
			c := inMap(t, tc.typ, tc.point)
			if err := p.Pin("fw", c); err != nil {
				t.Fatal(err)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			send(t, "right")
			becomes(t, func() uint64 { return hitsOf(t, p, "fw") }, 1)

			other := redirecting(tc.typ, tc.point, 100)
			if _, err := p.Replace("fw", other, &Options{}); err != nil {
				t.Fatal(err)
			}
			send(t, "right")
			becomes(t, func() uint64 { return hitsOf(t, p, "fw") }, 101)

			// What a lookup gives can be put back: the program stays.
			to, err := p.Map("fw", "to")
			if err != nil {
				t.Fatal(err)
			}
			defer to.Close()
			zero := make([]byte, 4)
			value, err := to.LookupBytes(zero)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(to.Delete(zero), to.Set(zero, value)); err != nil {
				t.Fatal(err)
			}
			send(t, "right")
			becomes(t, func() uint64 { return hitsOf(t, p, "fw") }, 201)

			without := redirecting(tc.typ, tc.point, 1)
			without.Spec.Programs["count"].Instructions = without.Spec.Programs["there"].Instructions
			want := "program there is in map to, which it does not have"
			if _, err := p.Replace("fw", without, &Options{}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("without the map: %v, want an error with %q", err, want)
			}

			m, err := ebpf.LoadPinnedMap(p.path("fw", "maps", "to"), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if err := p.Stop("fw"); err != nil {
				t.Fatal(err)
			}
			var there [2]uint32
			if err := m.Lookup(uint32(0), &there); err == nil {
				t.Errorf("the map still leads to %d", there)
			}
		})
	}
}

// What cannot be an entry is said before anything is attached.
func TestEntryRefused(t *testing.T) {
	ownNetwork(t)
	for point, want := range map[string]string{
		"xdp/devmap/two:0@left": "the programs use no map two; did you mean to?",
		"xdp/devmap/to:0@let":   "there is no interface let here; did you mean left?",
		"xdp/devmap/to:9@left":  "map to has 2 entries, from 0 on, and no entry 9",
		"xdp/devmap/to:0":       "want an entry of a devmap of the object and the interface that it leads to",
	} {
		at := attachments(t, "there", point, "count", "xdp/left")
		c, err := Load(redirecting(ebpf.DevMap, point, 1), &Options{At: at})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Attach(at); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", point, err, want)
		}
		c.Close()
	}
}
