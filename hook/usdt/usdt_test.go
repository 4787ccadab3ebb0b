package usdt

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const probed = "../../kernel/testdata/probed"

func TestRead(t *testing.T) {
	f, err := os.Open(probed)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	probes, err := Read(f)
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]int)
	for i, p := range probes {
		names[p.String()]++
		nop := make([]byte, 1)
		if _, err := f.ReadAt(nop, int64(p.Offset)); err != nil || nop[0] != 0x90 {
			t.Errorf("%s: there is %x at its offset, %v, want a nop", &probes[i], nop, err)
		}
		if !p.Fixed {
			t.Errorf("%s may be loaded anywhere", &probes[i])
		}
		if (p.Semaphore != 0) != (p.Name == "guarded") {
			t.Errorf("%s has its semaphore at %#x", &probes[i], p.Semaphore)
		}
	}
	want := map[string]int{"skep:plain": 1, "skep:memory": 1, "skep:indexed": 1, "skep:variable": 2, "skep:none": 1, "skep:several": 2, "skep:guarded": 1}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("places of each probe (-want +got):\n%s", diff)
	}
}

// A file without probes has none.
func TestReadNone(t *testing.T) {
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Skip("there is no /proc here")
	}
	defer self.Close()
	if probes, err := Read(self); err != nil || len(probes) != 0 {
		t.Errorf("this test has the probes %v, %v", probes, err)
	}
}

// A file that was moved after it was linked has its probes where they are now.
func TestPrelinked(t *testing.T) {
	f := &elf.File{Progs: []*elf.Prog{
		{ProgHeader: elf.ProgHeader{Type: elf.PT_LOAD, Flags: elf.PF_R | elf.PF_X, Vaddr: 0x7000, Off: 0x100, Memsz: 0x1000}},
		{ProgHeader: elf.ProgHeader{Type: elf.PT_LOAD, Flags: elf.PF_R | elf.PF_W, Vaddr: 0x9000, Off: 0x1100, Memsz: 0x1000}},
	}}
	n := note{location: 0x1010, base: 0x1500, semaphore: 0x3020, provider: "a", name: "b"}
	got, err := n.probe(f, 0x7500)
	want := Probe{Provider: "a", Name: "b", Address: 0x7010, Offset: 0x110, Semaphore: 0x1120}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Probe{})); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if _, err := n.probe(f, 0); err == nil || !strings.Contains(err.Error(), "probe a:b is at 0x1010, where the file has no code") {
		t.Errorf("not moved: %v", err)
	}
}

// bytesOf makes a note.
func bytesOf(owner string, typ uint32, desc []byte) []byte {
	var b bytes.Buffer
	for _, n := range []uint32{uint32(len(owner)), uint32(len(desc)), typ} {
		binary.Write(&b, binary.LittleEndian, n)
	}
	b.WriteString(owner + strings.Repeat("\x00", -len(owner)&3))
	b.Write(desc)
	b.WriteString(strings.Repeat("\x00", -len(desc)&3))
	return b.Bytes()
}

func descOf(strings string) []byte {
	return append(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, 1), 2), 3), strings...)
}

func TestParseNotes(t *testing.T) {
	good := bytesOf("stapsdt\x00", noteType, descOf("p\x00n\x00-4@%eax\x00"))
	other := bytesOf("GNU\x00", 1, []byte{1, 2, 3})
	none := bytesOf("stapsdt\x00", noteType, descOf("p\x00m\x00:\x00"))
	got, err := parseNotes(append(append(append([]byte{}, other...), good...), none...))
	want := []note{
		{location: 1, base: 2, semaphore: 3, provider: "p", name: "n", args: "-4@%eax"},
		{location: 1, base: 2, semaphore: 3, provider: "p", name: "m"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(note{})); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for name, data := range map[string][]byte{
		"short header": good[:8],
		"short owner":  good[:14],
		"short desc":   good[:30],
		"no end":       bytesOf("stapsdt\x00", noteType, descOf("p\x00n\x00-4@%eax")),
		"no addresses": bytesOf("stapsdt\x00", noteType, []byte("p\x00n\x00\x00")),
	} {
		if _, err := parseNotes(data); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzParseNotes(f *testing.F) {
	f.Add(bytesOf("stapsdt\x00", noteType, descOf("p\x00n\x00-4@%eax\x00")))
	f.Fuzz(func(t *testing.T, data []byte) {
		notes, err := parseNotes(data)
		if err != nil && notes != nil {
			t.Errorf("%v, and the notes %v", err, notes)
		}
	})
}

func FuzzRead(f *testing.F) {
	data, err := os.ReadFile(probed)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		probes, err := Read(bytes.NewReader(data))
		if err != nil && probes != nil {
			t.Errorf("%v, and the probes %v", err, probes)
		}
	})
}
