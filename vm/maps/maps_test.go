package maps

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
)

// errnoOf is the error number in an error, 0 for nil.
func errnoOf(err error) errno.Errno {
	if err == nil {
		return 0
	}
	if n, ok := errors.AsType[errno.Errno](err); ok {
		return n
	}
	return 0xffff
}

// newMap makes a map for 2 CPUs, for the time of a test.
func newMap(t testing.TB, spec ebpf.MapSpec) Map {
	t.Helper()
	m, err := New(&spec, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// goodSpec is a spec that the kernel takes.
func goodSpec(typ ebpf.MapType) ebpf.MapSpec {
	s := ebpf.MapSpec{Name: "m", Type: typ, KeySize: 4, ValueSize: 8, MaxEntries: 8}
	switch typ {
	case ebpf.ProgramArray, ebpf.PerfEventArray, ebpf.ArrayOfMaps, ebpf.HashOfMaps, ebpf.XSKMap:
		s.ValueSize = 4
	case ebpf.LPMTrie:
		s.KeySize, s.Flags = 6, FlagNoPrealloc
	case ebpf.StackTrace:
		s.ValueSize = 80
	case ebpf.CGroupArray:
		s.ValueSize = 4
	case ebpf.CGroupStorage, ebpf.PerCPUCGroupStorage:
		s.KeySize, s.MaxEntries = 16, 0
	case ebpf.SkStorage, ebpf.InodeStorage, ebpf.TaskStorage, ebpf.CgroupStorage:
		s.MaxEntries, s.Flags = 0, FlagNoPrealloc
		s.Key, s.Value = &btf.Int{Name: "int", Size: 4}, &btf.Int{Name: "long", Size: 8}
	case ebpf.RingBuf, ebpf.UserRingbuf:
		s.KeySize, s.ValueSize, s.MaxEntries = 0, 0, 4096
	case ebpf.Queue, ebpf.Stack, ebpf.BloomFilter:
		s.KeySize = 0
	}
	return s
}

// needsBTF reports whether Linux asks for the types of a map's key and value.
func needsBTF(typ ebpf.MapType) bool {
	switch typ {
	case ebpf.SkStorage, ebpf.InodeStorage, ebpf.TaskStorage, ebpf.CgroupStorage:
		return true
	}
	return false
}

func le32(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }
func le64(n uint64) []byte { return binary.NativeEndian.AppendUint64(nil, n) }

// value is the number that a program reads at an address.
func value(t testing.TB, addr uintptr) uint64 {
	t.Helper()
	if addr == 0 {
		t.Fatal("no value")
	}
	return binary.NativeEndian.Uint64(mem.View(addr, 8))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErrno(t testing.TB, got error, want errno.Errno) {
	t.Helper()
	if errnoOf(got) != want {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func TestNewSaysWhatIsWrong(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*ebpf.MapSpec)
		want   string
	}{
		{"entries", func(s *ebpf.MapSpec) { s.MaxEntries = 0 }, "map m: max_entries is 0, and must be at least 1: EINVAL"},
		{"key", func(s *ebpf.MapSpec) { s.Type, s.KeySize = ebpf.Array, 8 }, "map m: key_size is 8, and an array's index has 4 bytes: EINVAL"},
		{"flags", func(s *ebpf.MapSpec) { s.Flags = FlagMmapable }, "map m: type Hash does not take flags 0x400: EINVAL"},
		{"type", func(s *ebpf.MapSpec) { s.Type = ebpf.UnspecifiedMap }, "map m: the user-space machine has no maps of type UnspecifiedMap: EINVAL"},
		{"inner", func(s *ebpf.MapSpec) {
			s.Type, s.ValueSize = ebpf.ArrayOfMaps, 4
			s.InnerMap = &ebpf.MapSpec{Type: ebpf.Hash, KeySize: 4, ValueSize: 4}
		}, "map m: inner map: max_entries is 0, and must be at least 1: EINVAL"},
		{"memory", func(s *ebpf.MapSpec) { s.Type, s.ValueSize, s.MaxEntries = ebpf.Array, 1<<30, 1<<31 }, "more than an address space holds: ENOMEM"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spec := goodSpec(ebpf.Hash)
			tt.change(&spec)
			_, err := New(&spec, 2)
			if err == nil || !strings.HasSuffix(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestRegistered(t *testing.T) {
	spec := goodSpec(ebpf.Hash)
	m, err := New(&spec, 1)
	must(t, err)
	h := m.Info().Handle
	if h == 0 || Get(h) != m {
		t.Fatalf("handle %d gives %v", h, Get(h))
	}
	must(t, m.Close())
	must(t, m.Close())
	if Get(h) != nil {
		t.Error("a closed map has a handle")
	}
}

// Every value that a program can see has a number in the map's Slab.
func TestSlab(t *testing.T) {
	for _, typ := range []ebpf.MapType{ebpf.Array, ebpf.PerCPUArray, ebpf.Hash, ebpf.PerCPUHash, ebpf.LRUHash, ebpf.LRUCPUHash, ebpf.LPMTrie} {
		t.Run(typ.String(), func(t *testing.T) {
			spec := goodSpec(typ)
			spec.ValueSize = 12
			m := newMap(t, spec)
			slab := &m.Info().Values
			seen := map[uint32]bool{}
			for i := range uint32(4) {
				key := make([]byte, spec.KeySize)
				putU32(key, i)
				for cpu := range 2 {
					must(t, m.Update(cpu, key, make([]byte, 12), 0))
				}
				for cpu := range 2 {
					addr := m.Lookup(cpu, key)
					n := slab.Index(addr)
					if slab.Addr(n) != addr || addr%8 != 0 || n >= slab.N {
						t.Errorf("key %d, CPU %d: value at %#x is number %d at %#x", i, cpu, addr, n, slab.Addr(n))
					}
					if seen[n] && (m.Info().PerCPU() || cpu == 0) {
						t.Errorf("two values have the number %d", n)
					}
					seen[n] = true
				}
			}
		})
	}
}

// A program's update of a per-CPU map is for its own CPU; a new element of a
// hash has zeroes for the others.
func TestPerCPUUpdate(t *testing.T) {
	for _, typ := range []ebpf.MapType{ebpf.PerCPUHash, ebpf.LRUCPUHash, ebpf.PerCPUArray} {
		t.Run(typ.String(), func(t *testing.T) {
			m := newMap(t, goodSpec(typ))
			key, both := le32(1), make([]byte, 16)
			read := func() [2]uint64 {
				t.Helper()
				must(t, m.UserLookup(key, both, 0))
				return [2]uint64{binary.NativeEndian.Uint64(both), binary.NativeEndian.Uint64(both[8:])}
			}
			must(t, m.UserUpdate(key, append(le64(1), le64(2)...), 0))
			must(t, m.Update(1, key, le64(3), 0))
			if got := read(); got != [2]uint64{1, 3} {
				t.Errorf("after CPU 1's update: %v", got)
			}
			if a, b := value(t, m.Lookup(0, key)), value(t, m.Lookup(1, key)); a != 1 || b != 3 {
				t.Errorf("programs see %d and %d", a, b)
			}
			if typ == ebpf.PerCPUArray {
				return
			}
			must(t, m.Delete(key))
			must(t, m.Update(1, key, le64(4), 0))
			if got := read(); got != [2]uint64{0, 4} {
				t.Errorf("new element: %v", got)
			}
		})
	}
}

// As in Linux a program that holds a value's address keeps the old value when
// the key gets a new one.
func TestUpdateReplacesElement(t *testing.T) {
	for _, typ := range []ebpf.MapType{ebpf.Hash, ebpf.LRUHash, ebpf.LPMTrie} {
		m := newMap(t, goodSpec(typ))
		key := make([]byte, m.Info().KeySize)
		must(t, m.Update(0, key, le64(1), 0))
		old := m.Lookup(0, key)
		must(t, m.Update(0, key, le64(2), 0))
		if a, b := value(t, old), value(t, m.Lookup(0, key)); a != 1 || b != 2 {
			t.Errorf("%v: the old value is %d, the new one %d", typ, a, b)
		}
	}
}

func TestSpinLockInValue(t *testing.T) {
	value := &btf.Struct{Name: "v", Size: 16, Members: []btf.Member{
		{Name: "a", Type: &btf.Int{Size: 4}},
		{Name: "lock", Type: &btf.Struct{Name: "bpf_spin_lock", Size: 4}, Offset: 32},
		{Name: "b", Type: &btf.Int{Size: 8}, Offset: 64},
	}}
	for _, typ := range []ebpf.MapType{ebpf.Hash, ebpf.Array} {
		spec := goodSpec(typ)
		spec.ValueSize, spec.Value = 16, value
		m := newMap(t, spec)
		in := []byte("aaaaLLLLbbbbbbbb")
		want := "aaaa\x00\x00\x00\x00bbbbbbbb"
		for _, flags := range []uint64{0, FlagLock} {
			out := make([]byte, 16)
			must(t, m.UserUpdate(le32(1), in, flags))
			must(t, m.UserLookup(le32(1), out, flags))
			if string(out) != want {
				t.Errorf("%v, flags %d: %q", typ, flags, out)
			}
			if got := string(mem.View(m.Lookup(0, le32(1)), 16)); got != want {
				t.Errorf("%v, flags %d: a program sees %q", typ, flags, got)
			}
		}
		wantErrno(t, m.Freeze(), errno.ENOTSUPP)
	}
}

func TestBloomFilter(t *testing.T) {
	spec := goodSpec(ebpf.BloomFilter)
	spec.MaxEntries = 1000
	m := newMap(t, spec).(Keyless)
	for i := range uint64(1000) {
		must(t, m.Push(le64(i), 0))
	}
	wrong := 0
	for i := range uint64(1000) {
		must(t, m.Peek(le64(i)))
		must(t, m.UserLookup(nil, le64(i), 0))
		if m.Peek(le64(i+1e6)) == nil {
			wrong++
		}
	}
	if wrong > 100 {
		t.Errorf("%d of 1000 values are taken for pushed ones", wrong)
	}
	wantErrno(t, m.Push(le64(1), UpdateExist), errno.EINVAL)
	wantErrno(t, m.Pop(le64(1)), errno.EOPNOTSUPP)
	wantErrno(t, m.UserDelete(nil), errno.EOPNOTSUPP)
	wantErrno(t, m.NextKey(nil, nil), errno.EOPNOTSUPP)
}

func TestProgArray(t *testing.T) {
	m := newMap(t, goodSpec(ebpf.ProgramArray)).(ProgArray)
	id := RegisterProg("prog")
	defer UnregisterProg(id)
	wantErrno(t, m.UserUpdate(le32(1), le32(id+1000), 0), errno.EBADF)
	must(t, m.UserUpdate(le32(1), le32(id), 0))
	out := make([]byte, 4)
	must(t, m.UserLookup(le32(1), out, 0))
	if m.Prog(1) != "prog" || u32(out) != id {
		t.Errorf("program %v, value %x", m.Prog(1), out)
	}
	if m.Prog(0) != nil || m.Prog(8) != nil {
		t.Error("a program where none was put")
	}
	must(t, m.UserDelete(le32(1)))
	wantErrno(t, m.UserDelete(le32(1)), errno.ENOENT)
}
