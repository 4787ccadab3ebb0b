package memory_test

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/memory"
)

var (
	char   = &btf.Int{Name: "char", Size: 1, Encoding: btf.Char}
	u32    = &btf.Int{Name: "unsigned int", Size: 4}
	s32    = &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
	u64    = &btf.Int{Name: "unsigned long", Size: 8}
	be16   = &btf.Typedef{Name: "__be16", Type: &btf.Int{Name: "unsigned short", Size: 2}}
	colour = &btf.Enum{Name: "colour", Size: 4, Values: []btf.EnumValue{{Name: "RED", Value: 1}, {Name: "BLUE", Value: 2}}}
)

// types has a structure of every kind of field.
func types(t *testing.T) *btf.Spec {
	t.Helper()
	thing := &btf.Struct{Name: "thing", Size: 96}
	thing.Members = []btf.Member{
		{Name: "id", Type: u32, Offset: 0},
		{Name: "n", Type: s32, Offset: 32},
		{Name: "port", Type: be16, Offset: 64},
		{Name: "low", Type: u32, Offset: 80, BitfieldSize: 3},
		{Name: "high", Type: u32, Offset: 83, BitfieldSize: 5},
		{Name: "colour", Type: colour, Offset: 96},
		{Name: "comm", Type: &btf.Array{Index: u32, Type: char, Nelems: 8}, Offset: 128},
		{Type: &btf.Union{Size: 8, Members: []btf.Member{{Name: "whole", Type: u64}, {Name: "half", Type: u32}}}, Offset: 192},
		{Name: "next", Type: &btf.Pointer{Target: thing}, Offset: 256},
		{Name: "name", Type: &btf.Pointer{Target: &btf.Const{Type: char}}, Offset: 320},
		{Name: "addr", Type: &btf.Array{Index: u32, Type: &btf.Int{Name: "unsigned char", Size: 1}, Nelems: 16}, Offset: 384},
		{Name: "pair", Type: &btf.Array{Index: u32, Type: u32, Nelems: 2}, Offset: 512},
		{Name: "any", Type: &btf.Pointer{Target: &btf.Void{}}, Offset: 576},
		{Name: "__data_loc_text", Type: u32, Offset: 640},
		{Name: "tail", Type: &btf.Array{Index: u32, Type: char}, Offset: 768},
	}
	b, err := btf.NewBuilder([]btf.Type{thing}, nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := b.Marshal(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := btf.LoadSpecFromReader(strings.NewReader(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

func TestValues(t *testing.T) {
	m := memory.New(types(t))
	defer m.Close()
	if err := m.Declare("a", "struct thing", nil); err != nil {
		t.Fatal(err)
	}
	addr, err := m.Struct("thing", map[string]any{
		"id": uint8(7), "n": -2, "port": 443, "low": 5, "high": 9, "colour": "BLUE", "comm": "init",
		"half": 3, "next": memory.Ref("a"), "name": "text", "addr": "::1", "pair": []any{1, 2}, "any": memory.Ref("a.comm"),
		"__data_loc_text": "behind",
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Define("a", map[string]any{"next": addr}); err != nil {
		t.Fatal(err)
	}
	objects, err := m.Objects()
	if err != nil {
		t.Fatal(err)
	}
	b := objects.Readable(addr, false)
	le := binary.LittleEndian
	a := le.Uint64(b[32:])
	for name, ok := range map[string]bool{
		"id": le.Uint32(b) == 7, "n": int32(le.Uint32(b[4:])) == -2, "port": b[8] == 1 && b[9] == 187,
		"bits": b[10] == 5|9<<3, "colour": b[12] == 2, "comm": string(b[16:24]) == "init\x00\x00\x00\x00",
		"half":  le.Uint64(b[24:]) == 3,
		"name":  string(objects.Readable(le.Uint64(b[40:]), false)) == "text\x00",
		"addr":  b[63] == 1 && b[48] == 0,
		"pair":  le.Uint32(b[64:]) == 1 && le.Uint32(b[68:]) == 2,
		"any":   le.Uint64(b[72:]) == a+16,
		"text":  le.Uint32(b[80:]) == 7<<16|96 && string(b[96:103]) == "behind\x00",
		"cycle": le.Uint64(mem.View(uintptr(a)+32, 8)) == addr,
		"size":  len(b) == 103,
	} {
		if !ok {
			t.Errorf("%s is wrong: % x", name, b)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		typ   string
		value any
		want  string
	}{
		{"thin", nil, "there is no type thin"},
		{"thing", map[string]any{"comn": "x"}, "struct thing has no field comn; did you mean comm?"},
		{"thing", map[string]any{"comm": "too long a name"}, `field comm of struct thing: "too long a name" has 15 characters, and char[8] has room for 7 and a NUL`},
		{"thing", map[string]any{"colour": "GREEN"}, "field colour of struct thing: GREEN is no value of enum colour; there is BLUE, RED"},
		{"thing", map[string]any{"id": 1 << 32}, "field id of struct thing: unsigned int: 4294967296 does not fit into 4 bytes"},
		{"thing", map[string]any{"low": 8}, "field low of struct thing: 8 does not fit into 3 bits"},
		{"thing", map[string]any{"pair": []any{1, 2, 3}}, "field pair of struct thing: 3 values are too many for unsigned int[2]"},
		{"thing", map[string]any{"next": memory.Ref("b")}, "field next of struct thing: there is no object named b; there are none"},
		{"thing", map[string]any{"next": map[string]any{"comm": memory.At{Line: 9, Value: 5}}}, "line 9: field comm of struct thing: char[8] wants a list, not 5"},
		{"thing", map[string]any{"any": map[string]any{}}, "field any of struct thing: void * says nothing of what it points to: make a named object and point to it with &name"},
		{"thing", 5, "struct thing wants fields by their names, not 5"},
	} {
		m := memory.New(types(t))
		if _, err := m.Value(c.typ, c.value); err == nil || err.Error() != c.want {
			t.Errorf("%s of %v: %v\nwant %s", c.typ, c.value, err, c.want)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}
