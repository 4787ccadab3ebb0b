package vm

import (
	"testing"

	"github.com/cilium/ebpf"
)

func TestMapSpecIsCompleted(t *testing.T) {
	cpus := uint32(PossibleCPU())
	inner := &ebpf.MapSpec{Type: ebpf.RingBuf, MaxEntries: 5000}
	for _, tt := range []struct {
		name             string
		spec             ebpf.MapSpec
		key, value, want uint32
	}{
		{"perf event array", ebpf.MapSpec{Type: ebpf.PerfEventArray}, 4, 4, cpus},
		{"large perf event array", ebpf.MapSpec{Type: ebpf.PerfEventArray, KeySize: 4, ValueSize: 4, MaxEntries: 1024}, 4, 4, cpus},
		{"ring buffer", ebpf.MapSpec{Type: ebpf.RingBuf, MaxEntries: 10_000}, 0, 0, 16384},
		{"small ring buffer", ebpf.MapSpec{Type: ebpf.RingBuf, MaxEntries: 1}, 0, 0, 4096},
		{"ring buffer that is right", ebpf.MapSpec{Type: ebpf.RingBuf, MaxEntries: 8192}, 0, 0, 8192},
		{"map of maps", ebpf.MapSpec{Type: ebpf.HashOfMaps, KeySize: 8, MaxEntries: 2, InnerMap: inner}, 8, 4, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := tt.spec
			m, err := NewMap(&tt.spec)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if m.KeySize() != tt.key || m.ValueSize() != tt.value || m.MaxEntries() != tt.want {
				t.Errorf("key %d, value %d, %d entries; want %d, %d, %d",
					m.KeySize(), m.ValueSize(), m.MaxEntries(), tt.key, tt.value, tt.want)
			}
			if tt.spec.MaxEntries != before.MaxEntries || tt.spec.ValueSize != before.ValueSize {
				t.Error("the caller's spec was changed")
			}
		})
	}
	for _, spec := range []ebpf.MapSpec{
		{Type: ebpf.PerfEventArray, KeySize: 8},
		{Type: ebpf.ArrayOfMaps, KeySize: 4, ValueSize: 8, MaxEntries: 1, InnerMap: inner},
		{Type: ebpf.RingBuf},
		{Type: ebpf.RingBuf, MaxEntries: 1<<31 + 1},
	} {
		if m, err := NewMap(&spec); err == nil {
			m.Close()
			t.Errorf("%v is accepted", &spec)
		}
	}
}
