package vm

import (
	"errors"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/maps"
)

// TestOneValue reads and writes single values of per-CPU maps.
func TestOneValue(t *testing.T) {
	cpus := PossibleCPU()
	last := uint64(maps.FlagCPU | (cpus-1)<<32)
	for _, typ := range []ebpf.MapType{ebpf.PerCPUArray, ebpf.PerCPUHash, ebpf.LRUCPUHash} {
		t.Run(typ.String(), func(t *testing.T) {
			m, err := NewMap(&ebpf.MapSpec{Type: typ, KeySize: 4, ValueSize: 4, MaxEntries: 3})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			keys := []uint32{0, 1, 2}
			n, err := m.BatchUpdate(keys, []uint32{10, 11, 12}, &ebpf.BatchOptions{ElemFlags: maps.FlagAllCPUs})
			if n != 3 || err != nil {
				t.Fatal(n, err)
			}
			if err := m.Update(uint32(1), uint32(21), ebpf.MapUpdateFlags(last)); err != nil {
				t.Fatal(err)
			}
			var one uint32
			if err := m.LookupWithFlags(uint32(1), &one, ebpf.MapLookupFlags(last)); err != nil || one != 21 {
				t.Errorf("CPU %d has %d: %v", cpus-1, one, err)
			}
			var all []uint32
			if err := m.Lookup(uint32(1), &all); err != nil || len(all) != cpus || all[cpus-1] != 21 || cpus > 1 && all[0] != 11 {
				t.Errorf("the CPUs have %d: %v", all, err)
			}

			var cursor MapBatchCursor
			gotKeys, got := make([]uint32, 4), make([]uint32, 4)
			n, err = m.BatchLookup(&cursor, gotKeys, got, &ebpf.BatchOptions{ElemFlags: last})
			if !errors.Is(err, ebpf.ErrKeyNotExist) {
				t.Fatal(n, err)
			}
			values := map[uint32]uint32{}
			for i := range n {
				values[gotKeys[i]] = got[i]
			}
			if diff := cmp.Diff(map[uint32]uint32{0: 10, 1: 21, 2: 12}, values); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}

			beyond := uint64(maps.FlagCPU | cpus<<32)
			if err := m.LookupWithFlags(uint32(1), &one, ebpf.MapLookupFlags(beyond)); !errors.Is(err, errno.ERANGE) {
				t.Errorf("lookup on CPU %d: %v", cpus, err)
			}
			if _, err := m.BatchUpdate(keys, got[:3], &ebpf.BatchOptions{ElemFlags: beyond}); !errors.Is(err, errno.ERANGE) {
				t.Errorf("batch update on CPU %d: %v", cpus, err)
			}
			if _, err := m.BatchLookup(&cursor, gotKeys, got, &ebpf.BatchOptions{ElemFlags: maps.FlagAllCPUs}); !errors.Is(err, errno.EINVAL) {
				t.Errorf("batch lookup of one value for all CPUs: %v", err)
			}
		})
	}
	m, err := NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 4, ValueSize: 4, MaxEntries: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Update(uint32(1), uint32(1), maps.FlagCPU); !errors.Is(err, errno.EINVAL) {
		t.Errorf("update of a hash map with a CPU: %v", err)
	}
}
