package vm

import (
	"encoding/binary"
	"fmt"
	"sync"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/testenv"
)

// The benchmarks of this file run every operation here and in the kernel.

var benchTypes = []ebpf.MapType{ebpf.Array, ebpf.Hash, ebpf.LRUHash, ebpf.LPMTrie}

// benchMap is what both have.
type benchMap interface {
	Lookup(key, valueOut any) error
	Update(key, value any, flags ebpf.MapUpdateFlags) error
	Delete(key any) error
}

func benchSpec(typ ebpf.MapType, n uint32) *ebpf.MapSpec {
	s := &ebpf.MapSpec{Name: "m", Type: typ, KeySize: 4, ValueSize: 8, MaxEntries: n}
	if typ == ebpf.LPMTrie {
		s.KeySize, s.Flags = 8, 1
	}
	return s
}

// benchKey is the i-th key of n.
func benchKey(typ ebpf.MapType, i, n uint32) []byte {
	k := uint32(uint64(i) * 2654435761 % uint64(n))
	if typ == ebpf.LPMTrie {
		return binary.BigEndian.AppendUint32(binary.NativeEndian.AppendUint32(nil, 32), k*2654435761)
	}
	return binary.NativeEndian.AppendUint32(nil, k)
}

// benchKeys are keys one after another in memory, so that they cost both sides
// little beside the map.
type benchKeys struct {
	b    []byte
	size int
}

func (k *benchKeys) len() int             { return len(k.b) / k.size }
func (k *benchKeys) at(i int) []byte      { return k.b[i*k.size:][:k.size] }
func (k *benchKeys) get(i int, to []byte) { copy(to, k.at(i%k.len())) }

// both makes the map here and in the kernel, with n entries.
func both(b *testing.B, typ ebpf.MapType, n uint32) (ours *Map, kernel *ebpf.Map, keys *benchKeys) {
	testenv.Kernel(b)
	ours, err := NewMap(benchSpec(typ, n))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { ours.Close() })
	kernel, err = ebpf.NewMap(benchSpec(typ, n))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { kernel.Close() })
	keys = &benchKeys{size: int(ours.KeySize())}
	for i := range n {
		key, value := benchKey(typ, i, n), binary.NativeEndian.AppendUint64(nil, uint64(i))
		keys.b = append(keys.b, key...)
		if err := ours.Put(key, value); err != nil {
			b.Fatal(err)
		}
		if err := kernel.Put(key, value); err != nil {
			b.Fatal(err)
		}
	}
	return ours, kernel, keys
}

// compare measures one operation of do on ours and on the kernel's.
func compare(b *testing.B, ours, kernel benchMap, do func(b *testing.B, m benchMap, i int)) {
	eachSide(b, ours, kernel, func(b *testing.B, m benchMap) {
		i := 0
		for b.Loop() {
			do(b, m, i)
			i++
		}
	})
}

func eachSide(b *testing.B, ours, kernel benchMap, run func(b *testing.B, m benchMap)) {
	b.Run("skep", func(b *testing.B) { run(b, ours) })
	b.Run("linux", func(b *testing.B) { run(b, kernel) })
}

func eachMap(b *testing.B, f func(b *testing.B, typ ebpf.MapType, n uint32)) {
	for _, typ := range benchTypes {
		for _, n := range []uint32{1, 1000, 1_000_000} {
			b.Run(fmt.Sprintf("%s/%d", typ, n), func(b *testing.B) { f(b, typ, n) })
		}
	}
}

// BenchmarkMapLookup is Map.Lookup beside bpf(BPF_MAP_LOOKUP_ELEM).
func BenchmarkMapLookup(b *testing.B) {
	eachMap(b, func(b *testing.B, typ ebpf.MapType, n uint32) {
		ours, kernel, keys := both(b, typ, n)
		key := make([]byte, keys.size)
		var k, value any = key, make([]byte, 8)
		compare(b, ours, kernel, func(b *testing.B, m benchMap, i int) {
			keys.get(i, key)
			err := m.Lookup(k, value)
			if err != nil && typ != ebpf.LRUHash { // which may have evicted the key
				b.Fatal(err)
			}
		})
	})
}

// BenchmarkMapUpdate is Map.Update beside bpf(BPF_MAP_UPDATE_ELEM).
func BenchmarkMapUpdate(b *testing.B) {
	eachMap(b, func(b *testing.B, typ ebpf.MapType, n uint32) {
		ours, kernel, keys := both(b, typ, n)
		key := make([]byte, keys.size)
		var k, value any = key, make([]byte, 8)
		compare(b, ours, kernel, func(b *testing.B, m benchMap, i int) {
			keys.get(i, key)
			if err := m.Update(k, value, ebpf.UpdateAny); err != nil {
				b.Fatal(err)
			}
		})
	})
}

// BenchmarkMapDelete is Map.Delete, and Map.Update of the same key, beside the
// kernel's.
func BenchmarkMapDelete(b *testing.B) {
	eachMap(b, func(b *testing.B, typ ebpf.MapType, n uint32) {
		if typ == ebpf.Array {
			b.Skip("an array's elements cannot be deleted")
		}
		ours, kernel, keys := both(b, typ, n)
		key := make([]byte, keys.size)
		var k, value any = key, make([]byte, 8)
		compare(b, ours, kernel, func(b *testing.B, m benchMap, i int) {
			keys.get(i, key)
			err := m.Delete(k)
			if err != nil && typ != ebpf.LRUHash { // which may have evicted the key
				b.Fatal(err)
			}
			if err := m.Update(k, value, ebpf.UpdateAny); err != nil {
				b.Fatal(err)
			}
		})
	})
}

// BenchmarkMapTwoWriters is Map.Update by two at once; the time is that of one
// operation of one of them.
func BenchmarkMapTwoWriters(b *testing.B) {
	eachMap(b, func(b *testing.B, typ ebpf.MapType, n uint32) {
		ours, kernel, keys := both(b, typ, n)
		if typ == ebpf.LRUHash && n == 1 {
			b.Skip("Linux has no element for the second writer")
		}
		const total = 20_000
		eachSide(b, ours, kernel, func(b *testing.B, m benchMap) {
			for b.Loop() {
				var wg sync.WaitGroup
				for w := range 2 {
					wg.Go(func() {
						key := make([]byte, keys.size)
						var k, value any = key, make([]byte, 8)
						for i := range total {
							keys.get(i*2+w, key)
							if err := m.Update(k, value, ebpf.UpdateAny); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N)/total, "ns/update")
		})
	})
}
