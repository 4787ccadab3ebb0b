package vm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/testenv"
)

// greeterOps is a structure with a function and a number, with room between them
// before the number in Linux's.
func greeterOps(size, number uint32) *btf.Struct {
	hello := &btf.Pointer{Target: &btf.FuncProto{Return: &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}}}
	return &btf.Struct{Name: "greeter_ops", Size: size, Members: []btf.Member{
		{Name: "hello", Type: hello},
		{Name: "flags", Type: &btf.Int{Name: "unsigned int", Size: 4}, Offset: btf.Bits(number * 8)},
	}}
}

// greeterTypes are a kernel's that has the structure.
func greeterTypes(t *testing.T) *btf.Spec {
	t.Helper()
	unsigned := &btf.Int{Name: "unsigned int", Size: 4}
	value := &btf.Struct{Name: "bpf_struct_ops_greeter_ops", Size: 128, Members: []btf.Member{
		{Name: "common", Type: &btf.Struct{Name: "bpf_struct_ops_common_value", Size: 8, Members: []btf.Member{
			{Name: "refcnt", Type: unsigned}, {Name: "state", Type: unsigned, Offset: 32}}}},
		{Name: "data", Type: greeterOps(64, 32), Offset: 64 * 8},
	}}
	return testenv.Types(t, value)
}

func TestStructOps(t *testing.T) {
	declared := make([]byte, 16)
	declared[8] = 42
	spec := func(flags uint32) *ebpf.CollectionSpec {
		return &ebpf.CollectionSpec{
			Maps: map[string]*ebpf.MapSpec{"greeter": {
				Name: "greeter", Type: ebpf.StructOpsMap, KeySize: 4, ValueSize: 16, MaxEntries: 1, Flags: flags,
				Value: greeterOps(16, 8), Contents: []ebpf.MapKV{{Key: uint32(0), Value: declared}},
			}},
			Programs: map[string]*ebpf.ProgramSpec{"hello": {
				Name: "hello", Type: ebpf.StructOps, AttachTo: "greeter_ops:hello", License: "GPL",
				Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 7), asm.Return()},
			}},
		}
	}
	const link = 1 << 13
	for name, tt := range map[string]struct {
		flags         uint32
		refcnt, state uint32
		deletes       []error
	}{
		"in use":   {0, 1, 1, []error{nil, errno.EINPROGRESS}},
		"for link": {link, 0, 3, []error{errno.EOPNOTSUPP}},
	} {
		t.Run(name, func(t *testing.T) {
			opts := CollectionOptions{}
			opts.Programs.Link.KernelTypes = greeterTypes(t)
			coll, err := NewCollectionWithOptions(spec(tt.flags), opts)
			if err != nil {
				t.Fatal(err)
			}
			defer coll.Close()
			m, prog := coll.Maps["greeter"], coll.Programs["hello"]
			want := make([]byte, 128)
			binary.NativeEndian.PutUint32(want, tt.refcnt)
			binary.NativeEndian.PutUint32(want[4:], tt.state)
			binary.NativeEndian.PutUint64(want[64:], uint64(prog.FD()))
			want[64+32] = 42
			got, err := m.LookupBytes(uint32(0))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("value (-want +got):\n%s", diff)
			}
			if err := m.Put(uint32(0), make([]byte, 128)); !errors.Is(err, errno.EBUSY) {
				t.Errorf("a second value: %v", err)
			}
			for _, want := range tt.deletes {
				if err := m.Delete(uint32(0)); !errors.Is(err, want) {
					t.Errorf("delete: %v, want %v", err, want)
				}
			}
			if ret, err := prog.Run(&ebpf.RunOptions{}); err != nil || ret != 7 {
				t.Errorf("the program returned %d, %v", ret, err)
			}
		})
	}
	t.Run("without Linux's types", func(t *testing.T) {
		opts := CollectionOptions{Programs: Unverified(ProgramOptions{})} // what takes what is not known
		opts.Programs.Link.NoHostTypes = true
		coll, err := NewCollectionWithOptions(spec(0), opts)
		if err != nil {
			t.Fatal(err)
		}
		defer coll.Close()
		if got := coll.Maps["greeter"].ValueSize(); got != 16 {
			t.Errorf("a value has %d bytes", got)
		}
	})
}

// What Linux does not take as a value.
func TestStructOpsValue(t *testing.T) {
	var linux *btf.Struct
	if err := greeterTypes(t).TypeByName("bpf_struct_ops_greeter_ops", &linux); err != nil {
		t.Fatal(err)
	}
	m, err := NewMap(&ebpf.MapSpec{Name: "greeter", Type: ebpf.StructOpsMap, KeySize: 4, ValueSize: 128, MaxEntries: 1, Value: linux})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	other, err := NewProgram(&ebpf.ProgramSpec{Name: "xdp", Type: ebpf.XDP, Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for name, tt := range map[string]struct {
		at   int
		what uint32
		want errno.Errno
	}{
		"count":                {0, 1, errno.EINVAL},
		"state":                {4, 1, errno.EINVAL},
		"hole in the value":    {8, 1, errno.EINVAL},
		"hole in the data":     {64 + 8, 1, errno.EINVAL},
		"behind the data":      {64 + 36, 1, errno.EINVAL},
		"no program":           {64, 1 << 30, errno.EBADF},
		"program of no member": {64, uint32(other.FD()), errno.EINVAL},
	} {
		t.Run(name, func(t *testing.T) {
			value := make([]byte, 128)
			binary.NativeEndian.PutUint32(value[tt.at:], tt.what)
			if err := m.Put(uint32(0), value); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
	if got, err := m.LookupBytes(uint32(0)); err != nil || !bytes.Equal(got, make([]byte, 128)) {
		t.Errorf("the value is %x, %v", got, err)
	}
	if err := m.Delete(uint32(0)); !errors.Is(err, errno.ENOENT) {
		t.Errorf("delete: %v", err)
	}
}
