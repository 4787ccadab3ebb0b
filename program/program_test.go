package program

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
)

//go:generate testdata/generate.sh

// open reads a fixture of testdata.
func open(t testing.TB, name string) *Program {
	t.Helper()
	p, err := Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// fixture gives the bytes of a fixture.
func fixture(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestDataSections(t *testing.T) {
	spec := open(t, "data.o").Spec
	want := map[string][]byte{
		".data":        {7, 0, 0, 0, 3, 0, 0, 0},
		".data.custom": {9, 0, 0, 0},
		".rodata":      {42, 0, 0, 0},
		".rodata.cfg":  {5, 0, 0, 0},
		".bss":         make([]byte, 16),
	}
	for name, value := range want {
		m := spec.Maps[name]
		if m == nil {
			t.Errorf("no map for section %s", name)
			continue
		}
		if diff := cmp.Diff([]ebpf.MapKV{{Key: uint32(0), Value: value}}, m.Contents); diff != "" {
			t.Errorf("contents of %s (-want +got):\n%s", name, diff)
		}
	}
}

func TestInitialContents(t *testing.T) {
	spec := open(t, "maps.o").Spec
	tests := map[string][]ebpf.MapKV{
		"outer": {{Key: uint32(0), Value: "inner_a"}, {Key: uint32(2), Value: "inner_b"}},
		"jumps": {{Key: uint32(1), Value: "first"}, {Key: uint32(3), Value: "second"}},
	}
	for name, want := range tests {
		if diff := cmp.Diff(want, spec.Maps[name].Contents); diff != "" {
			t.Errorf("contents of %s (-want +got):\n%s", name, diff)
		}
	}
	if inner := spec.Maps["outer"].InnerMap; inner == nil || inner.MaxEntries != 4 {
		t.Errorf("inner map of outer is %v", inner)
	}
}

// TestLegacyMaps holds that definitions without BTF are taken where they have
// nothing but struct bpf_map_def.
func TestLegacyMaps(t *testing.T) {
	p := open(t, "legacy.o")
	img, err := Link(p.Spec, "lookup", nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"old"}, img.Maps); diff != "" {
		t.Errorf("maps (-want +got):\n%s", diff)
	}
	if m := p.Spec.Maps["old"]; m.ValueSize != 8 || m.MaxEntries != 2 {
		t.Errorf("legacy map is %v", m)
	}
}

func TestReadErrors(t *testing.T) {
	data := fixture(t, "data.o")
	patch := func(offset int, with ...byte) []byte {
		b := bytes.Clone(data)
		copy(b[offset:], with)
		return b
	}
	legacy := fixture(t, "legacy.o")
	tests := map[string]struct {
		data []byte
		want string
	}{
		"empty":            {nil, "file is empty"},
		"source":           {[]byte("int main() {}"), "not an ELF object"},
		"only magic":       {data[:6], "truncated"},
		"half":             {data[:len(data)/2], "damaged or truncated"},
		"32 bit":           {patch(4, 1), "32-bit"},
		"big-endian":       {patch(5, 2), "big-endian"},
		"executable":       {patch(16, 2), "not a relocatable object"},
		"other machine":    {patch(18, 62), "machine X86_64"},
		"no types":         {rename(t, data, ".BTF", ".XTF"), "no types"},
		"cut relocations":  {resize(t, data, ".relxdp", -1), "whole number of relocations"},
		"cut instructions": {resize(t, data, "xdp", -3), "whole number of 8-byte instructions"},
		"huge .bss":        {resize(t, data, ".bss", 1<<40), "at most 64 MiB"},
		"behind the end":   {resize(t, data, ".data", 1<<20), "truncated: section .data"},
		"sizeless map":     {shrinkSymbol(t, legacy, "old"), "legacy way"},
		"broken types":     {overwrite(t, data, ".BTF", 0xff), "BTF"},
		"cyclic types":     {cyclic(t), "types are cyclic: __u8 contains itself"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Read("x.o", bytes.NewReader(test.data))
			if err == nil {
				t.Fatal("no error")
			}
			isSentence(t, err)
			if !strings.HasPrefix(err.Error(), "x.o: ") || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %q and does not say %q", err, test.want)
			}
		})
	}
}

func TestOpenMissing(t *testing.T) {
	if _, err := Open("testdata/nothing.o"); !os.IsNotExist(err) {
		t.Errorf("error is %v", err)
	}
}

// The editors below change one thing of an object.

const headerSize = 64 // of an elf.Section64

// header finds the header of a section.
func header(t *testing.T, b []byte, name string) []byte {
	t.Helper()
	table := binary.LittleEndian.Uint64(b[40:])
	n, names := binary.LittleEndian.Uint16(b[60:]), binary.LittleEndian.Uint16(b[62:])
	at := func(i uint16) []byte { return b[table+uint64(i)*headerSize:][:headerSize] }
	text := b[binary.LittleEndian.Uint64(at(names)[24:]):]
	for i := range n {
		s := text[binary.LittleEndian.Uint32(at(i)):]
		if string(s[:bytes.IndexByte(s, 0)]) == name {
			return at(i)
		}
	}
	t.Fatalf("no section %s", name)
	return nil
}

func rename(t *testing.T, data []byte, from, to string) []byte {
	return bytes.ReplaceAll(bytes.Clone(data), []byte(from+"\x00"), []byte(to+"\x00"))
}

func resize(t *testing.T, data []byte, section string, by int64) []byte {
	b := bytes.Clone(data)
	size := header(t, b, section)[32:]
	binary.LittleEndian.PutUint64(size, binary.LittleEndian.Uint64(size)+uint64(by))
	return b
}

func overwrite(t *testing.T, data []byte, section string, with byte) []byte {
	b := bytes.Clone(data)
	h := header(t, b, section)
	offset, size := binary.LittleEndian.Uint64(h[24:]), binary.LittleEndian.Uint64(h[32:])
	copy(b[offset:offset+size], bytes.Repeat([]byte{with}, int(size)))
	return b
}

func shrinkSymbol(t *testing.T, data []byte, name string) []byte {
	b := bytes.Clone(data)
	obj, err := parse(b)
	if err != nil {
		t.Fatal(err)
	}
	table := binary.LittleEndian.Uint64(header(t, b, ".symtab")[24:])
	for i, sym := range obj.symbols {
		if sym.Name == name {
			binary.LittleEndian.PutUint64(b[table+uint64(i+1)*24+16:], 0)
		}
	}
	return b
}

// cyclic makes a typedef of the parameters' object refer to itself.
func cyclic(t *testing.T) []byte {
	b := fixture(t, "params.o")
	types := open(t, "params.o").Spec.Types
	typ, err := types.AnyTypeByName("__u8")
	if err != nil {
		t.Fatal(err)
	}
	id, err := types.TypeID(typ)
	if err != nil {
		t.Fatal(err)
	}
	section := b[binary.LittleEndian.Uint64(header(t, b, ".BTF")[24:]):]
	headerLen := binary.LittleEndian.Uint32(section[4:])
	at := section[headerLen+binary.LittleEndian.Uint32(section[8:]):]
	for n := uint32(1); n < uint32(id); n++ {
		at = at[12+trailing(at):]
	}
	binary.LittleEndian.PutUint32(at[8:], uint32(id))
	return b
}

// chain appends types to an object, each a pointer to the next.
func chain(t *testing.T, n int) []byte {
	data := fixture(t, "params.o")
	h := header(t, data, ".BTF")
	at := binary.LittleEndian.Uint64(h[24:])
	section := bytes.Clone(data[at : at+binary.LittleEndian.Uint64(h[32:])])
	typesLen, textOff := section[12:16], section[16:20]
	head := binary.LittleEndian.Uint32(section[4:])
	end := head + binary.LittleEndian.Uint32(typesLen)
	next := uint32(2)
	for rest := section[head:end]; len(rest) > 0; rest = rest[12+trailing(rest):] {
		next++
	}
	var added []byte
	for i := range n {
		added = append(added, 0, 0, 0, 0, 0, 0, 0, 2)
		added = binary.LittleEndian.AppendUint32(added, (next+uint32(i))%(next+uint32(n)-1))
	}
	for _, field := range [][]byte{typesLen, textOff} {
		binary.LittleEndian.PutUint32(field, binary.LittleEndian.Uint32(field)+uint32(len(added)))
	}
	section = slices.Insert(section, int(end), added...)
	binary.LittleEndian.PutUint64(h[24:], uint64(len(data)))
	binary.LittleEndian.PutUint64(h[32:], uint64(len(section)))
	return append(data, section...)
}

// TestManyTypes holds that a long chain of types ends in an error, or is read.
func TestManyTypes(t *testing.T) {
	_, err := Read("x.o", bytes.NewReader(chain(t, 1_000_000)))
	checkError(t, err, "more than 250000 types")
	if _, err := Read("x.o", bytes.NewReader(chain(t, 200_000))); err != nil {
		t.Error(err)
	}
}
