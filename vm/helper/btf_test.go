package helper_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/errno"
)

// typesOf makes a spec of a type, and gives the type's number.
func typesOf(t *testing.T, typ btf.Type) (*btf.Spec, btf.TypeID) {
	t.Helper()
	b, err := btf.NewBuilder(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	id, err := b.Add(typ)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := b.Marshal(nil, &btf.MarshalOptions{Order: binary.LittleEndian})
	if err != nil {
		t.Fatal(err)
	}
	spec, err := btf.LoadSpecFromReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return spec, id
}

func TestPrintByBTF(t *testing.T) {
	integer := &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
	foo := &btf.Struct{Name: "foo", Size: 16, Members: []btf.Member{
		{Name: "a", Type: integer},
		{Name: "zero", Type: integer, Offset: 32},
		{Name: "name", Type: &btf.Array{Type: &btf.Int{Name: "char", Size: 1}, Index: integer, Nelems: 4}, Offset: 64},
		{Name: "kind", Type: &btf.Enum{Name: "kind", Size: 4, Values: []btf.EnumValue{{Name: "NONE"}}}, Offset: 96},
	}}
	s := inWorld(t, ebpf.Tracing, nil)
	types, id := typesOf(t, foo)
	s.Env.Types = types
	value, _ := s.Lend(16)
	copy(value, "\xff\xff\xff\xff\x00\x00\x00\x00hi\x00\x00")
	ptr, _ := s.Lend(16)
	set := func(addr uint64, id btf.TypeID) {
		binary.LittleEndian.PutUint64(ptr, addr)
		binary.LittleEndian.PutUint32(ptr[8:], uint32(id))
	}
	out, _ := s.Lend(256)
	const full = "(struct foo){\n .a = (int)-1,\n .name = (char[])[\n  'h',\n  'i',\n ],\n .kind = (enum kind)NONE,\n}\n"
	const compact = "(struct foo){.a = (int)-1,.name = (char[])['h','i',],.kind = (enum kind)NONE,}"
	for _, tt := range []struct {
		flags, room uint64
		want        string
		ret         int
	}{
		{0, 256, full, len(full)},
		{1, 256, compact, len(compact)},
		{1, 12, compact[:11], len(compact)},
		{1 | 2, 256, "{-1,['h','i',],NONE,}", 21},
		{1 | 2 | 8, 256, "{-1,0,['h','i',],NONE,}", 23},
	} {
		clear(out)
		set(addr(value), id)
		got := call(t, s, "bpf_snprintf_btf", addr(out), tt.room, addr(ptr), 16, tt.flags)
		if text, _, _ := bytes.Cut(out, []byte{0}); string(text) != tt.want || got != uint64(tt.ret) {
			t.Errorf("flags %d, room %d: %d, %q; want %d, %q", tt.flags, tt.room, int64(got), text, tt.ret, tt.want)
		}
	}
	for _, tt := range []struct {
		name                  string
		addr, id, size, flags uint64
		types                 *btf.Spec
		want                  errno.Errno
	}{
		{"unknown flags", addr(value), uint64(id), 16, 16, types, errno.EINVAL},
		{"half a pointer", addr(value), uint64(id), 8, 0, types, errno.EINVAL},
		{"no type", addr(value), 0, 16, 0, types, errno.EINVAL},
		{"an unknown type", addr(value), 1 << 30, 16, 0, types, errno.ENOENT},
		{"NULL", 0, uint64(id), 16, 0, types, errno.ERANGE},
		{"nowhere", 1 << 63, uint64(id), 16, 0, types, errno.EFAULT},
		{"no types", addr(value), uint64(id), 16, 0, nil, errno.EINVAL},
	} {
		s.Env.Types = tt.types
		set(tt.addr, btf.TypeID(tt.id))
		if got := call(t, s, "bpf_snprintf_btf", addr(out), 256, addr(ptr), tt.size, tt.flags); got != tt.want.Ret() {
			t.Errorf("%s: %d, want %d", tt.name, int64(got), int64(tt.want.Ret()))
		}
	}
	s.Env.Types = types
	set(addr(value), id)
	if got := call(t, s, "bpf_seq_printf_btf", 0, addr(ptr), 16, 1); got != 0 || string(s.Seq) != compact {
		t.Errorf("bpf_seq_printf_btf: %d, %q", int64(got), s.Seq)
	}
}

func TestSeq(t *testing.T) {
	s := inWorld(t, ebpf.Tracing, nil)
	text, _ := s.Lend(32)
	copy(text, "%d of %s\n\x00")
	name, _ := s.Lend(8)
	copy(name, "many")
	args, _ := s.Lend(16)
	binary.LittleEndian.PutUint64(args, 7)
	binary.LittleEndian.PutUint64(args[8:], addr(name))
	big, _ := s.Lend(8 << 10)
	for _, tt := range []struct {
		name string
		args []uint64
		want uint64
	}{
		{"bpf_seq_printf", []uint64{0, addr(text), 10, addr(args), 16}, 0},
		{"bpf_seq_printf", []uint64{0, addr(text), 9, addr(args), 16}, errno.EINVAL.Ret()}, // no NUL
		{"bpf_seq_printf", []uint64{0, addr(text), 10, addr(args), 8}, errno.EINVAL.Ret()},
		{"bpf_seq_printf", []uint64{0, addr(text), 10, addr(args), 15}, errno.EINVAL.Ret()},
		{"bpf_seq_write", []uint64{0, addr(name), 4}, 0},
		{"bpf_seq_write", []uint64{0, addr(name), 0}, 0},
		{"bpf_seq_write", []uint64{0, addr(big), 8 << 10}, 0},
		{"bpf_seq_write", []uint64{0, addr(big), 8 << 10}, 0},
		{"bpf_seq_write", []uint64{0, addr(big), 8 << 10}, 0},
		{"bpf_seq_write", []uint64{0, addr(big), 8 << 10}, errno.EOVERFLOW.Ret()},
	} {
		if got := call(t, s, tt.name, tt.args...); got != tt.want {
			t.Errorf("%s(%x) = %d, want %d", tt.name, tt.args, int64(got), int64(tt.want))
		}
	}
	if want := "7 of many\nmany"; string(s.Seq[:len(want)]) != want || len(s.Seq) != len(want)+24<<10 {
		t.Errorf("wrote %d bytes, %q first", len(s.Seq), s.Seq[:min(len(s.Seq), 20)])
	}
}

func TestFindType(t *testing.T) {
	integer := &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
	both := &btf.Struct{Name: "both", Size: 4, Members: []btf.Member{{Name: "a", Type: &btf.Typedef{Name: "both", Type: integer}}}}
	s := inWorld(t, ebpf.Syscall, nil)
	types, id := typesOf(t, both)
	name, _ := s.Lend(8)
	copy(name, "both\x00")
	const isInt, isStruct, isUnion = 1, 4, 5
	find := func(at uint64, size, kind, flags int) int64 {
		return int64(call(t, s, "bpf_btf_find_by_name_kind", addr(name)+at, uint64(size), uint64(kind), uint64(flags)))
	}
	if got := find(0, 5, isStruct, 0); got != -2 {
		t.Errorf("without types: %d", got)
	}
	s.Env.Types = types
	for _, tt := range []struct {
		what              string
		at                uint64
		size, kind, flags int
		want              int64
	}{
		{"there", 0, 5, isStruct, 0, int64(id)},
		{"another kind", 0, 5, isUnion, 0, -2},
		{"no NUL", 0, 4, isStruct, 0, -22},
		{"flags", 0, 5, isStruct, 1, -22},
		{"another name", 1, 4, isInt, 0, -2},
	} {
		if got := find(tt.at, tt.size, tt.kind, tt.flags); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.what, got, tt.want)
		}
	}
}
