package maps

import (
	"encoding/binary"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/errno"
)

// cpuFlags are the flags for the value of one CPU.
func cpuFlags(cpu uint64) uint64 { return FlagCPU | cpu<<32 }

// TestOneValue holds what Linux 7.0 does with BPF_F_CPU and BPF_F_ALL_CPUS.
func TestOneValue(t *testing.T) {
	for _, typ := range []ebpf.MapType{ebpf.PerCPUArray, ebpf.PerCPUHash, ebpf.LRUCPUHash} {
		t.Run(typ.String(), func(t *testing.T) {
			spec := goodSpec(typ)
			spec.ValueSize = 4
			m, err := New(&spec, 3)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			key, other := le32(1), le32(2)
			values := func(key []byte) (all []uint32) {
				b := make([]byte, m.Info().UserValueSize())
				if err := m.UserLookup(key, b, 0); err != nil {
					t.Fatal(err)
				}
				for cpu := range 3 {
					all = append(all, binary.NativeEndian.Uint32(b[8*cpu:]))
				}
				return all
			}
			check := func(key []byte, want ...uint32) {
				t.Helper()
				if diff := cmp.Diff(want, values(key)); diff != "" {
					t.Errorf("values by CPU (-want +got):\n%s", diff)
				}
			}
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			must(m.UserUpdate(key, le32(7), FlagAllCPUs))
			check(key, 7, 7, 7)
			must(m.UserUpdate(key, le32(8), cpuFlags(2)))
			check(key, 7, 7, 8)
			one := make([]byte, 4)
			must(m.UserLookup(key, one, cpuFlags(2)))
			if got := binary.NativeEndian.Uint32(one); got != 8 {
				t.Errorf("CPU 2 has %d", got)
			}
			// A new element has zeroes for the other CPUs, though it had another key before.
			if typ != ebpf.PerCPUArray {
				must(m.UserDelete(key))
			}
			must(m.UserUpdate(other, le32(9), cpuFlags(1)|UpdateExist))
			check(other, 0, 9, 0)

			for _, tt := range []struct {
				flags uint64
				want  error
			}{
				{cpuFlags(3), errno.ERANGE},
				{cpuFlags(1 << 31), errno.ERANGE},
				{cpuFlags(1) | FlagAllCPUs, errno.EINVAL},
				{cpuFlags(1) | FlagLock, errno.EINVAL},
				{FlagAllCPUs | 1<<32, errno.EINVAL},
				{FlagAllCPUs | UpdateExist, errno.EINVAL},
				{FlagAllCPUs << 1, errno.EINVAL},
				{1 << 32, errno.EINVAL},
			} {
				if err := m.UserUpdate(other, make([]byte, m.Info().ValueSizeUnder(tt.flags)), tt.flags); err != tt.want {
					t.Errorf("update with flags %#x: %v, want %v", tt.flags, err, tt.want)
				}
			}
			for flags, want := range map[uint64]error{cpuFlags(3): errno.ERANGE, FlagAllCPUs: errno.EINVAL, 1 << 32: errno.EINVAL} {
				if err := m.UserLookup(other, make([]byte, m.Info().ValueSizeUnder(flags)), flags); err != want {
					t.Errorf("lookup with flags %#x: %v, want %v", flags, err, want)
				}
			}
			if err := m.LookupAndDelete(other, one, cpuFlags(1)); err != errno.EINVAL {
				t.Errorf("lookup and delete of one CPU's value: %v", err)
			}
			if err := m.Update(0, other, one, cpuFlags(1)); err != errno.EINVAL {
				t.Errorf("a program's update of another CPU's value: %v", err)
			}
		})
	}
	for _, typ := range []ebpf.MapType{ebpf.Array, ebpf.Hash, ebpf.LRUHash, ebpf.LPMTrie} {
		m := newMap(t, goodSpec(typ))
		key, value := make([]byte, m.Info().KeySize), make([]byte, m.Info().ValueSize)
		for _, flags := range []uint64{cpuFlags(0), cpuFlags(1), FlagAllCPUs} {
			if err := m.UserUpdate(key, value, flags); err != errno.EINVAL {
				t.Errorf("%s: update with flags %#x: %v", typ, flags, err)
			}
			if err := m.UserLookup(key, value, flags); err != errno.EINVAL {
				t.Errorf("%s: lookup with flags %#x: %v", typ, flags, err)
			}
		}
	}
}

// TestOneValueOfCgroup: a storage for cgroups has no values but those that
// programs asked for.
func TestOneValueOfCgroup(t *testing.T) {
	m := newMap(t, goodSpec(ebpf.PerCPUCGroupStorage)).(*CgroupStorage)
	key := make([]byte, m.Info().KeySize)
	value := make([]byte, m.Info().ValueSize)
	if err := m.UserUpdate(key, value, cpuFlags(0)); err != errno.ENOENT {
		t.Errorf("update before there is a value: %v", err)
	}
	if m.Get(0, 0, 0) == 0 {
		t.Fatal("no value")
	}
	value[0] = 5
	if err := m.UserUpdate(key, value, FlagAllCPUs|UpdateExist); err != nil {
		t.Error(err)
	}
	clear(value)
	if err := m.UserLookup(key, value, cpuFlags(1)); err != nil || value[0] != 5 {
		t.Errorf("CPU 1 has %d: %v", value[0], err)
	}
}
