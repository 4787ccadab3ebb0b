package maps

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/cilium/ebpf"
)

var benchSizes = []uint32{1, 1000, 1_000_000}

// filled gives a map with n entries and keys in an order without pattern.
func filled(b *testing.B, typ ebpf.MapType, n uint32) (Map, [][]byte) {
	spec := goodSpec(typ)
	spec.MaxEntries = n
	if typ == ebpf.LPMTrie {
		spec.KeySize = 8
	}
	m := newMap(b, spec)
	keys := make([][]byte, n)
	for i := range keys {
		k := uint32(uint64(i) * 2654435761 % uint64(n))
		keys[i] = le32(k)
		if typ == ebpf.LPMTrie {
			keys[i] = binary.BigEndian.AppendUint32(le32(32), k*2654435761)
		}
		must(b, m.Update(0, keys[i], le64(uint64(k)), 0))
	}
	return m, keys
}

func BenchmarkLookup(b *testing.B) {
	for _, typ := range []ebpf.MapType{ebpf.Array, ebpf.PerCPUArray, ebpf.Hash, ebpf.PerCPUHash, ebpf.LRUHash, ebpf.LPMTrie} {
		for _, n := range benchSizes {
			b.Run(fmt.Sprintf("%s/%d", typ, n), func(b *testing.B) {
				m, keys := filled(b, typ, n)
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					if m.Lookup(0, keys[i]) == 0 {
						b.Fatal("not found")
					}
					if i++; i == len(keys) {
						i = 0
					}
				}
			})
		}
	}
}

func BenchmarkUpdate(b *testing.B) {
	for _, typ := range []ebpf.MapType{ebpf.Array, ebpf.Hash, ebpf.PerCPUHash, ebpf.LRUHash, ebpf.LPMTrie} {
		for _, n := range benchSizes {
			b.Run(fmt.Sprintf("%s/%d", typ, n), func(b *testing.B) {
				m, keys := filled(b, typ, n)
				value := le64(1)
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					if err := m.Update(0, keys[i], value, 0); err != nil {
						b.Fatal(err)
					}
					if i++; i == len(keys) {
						i = 0
					}
				}
			})
		}
	}
}

// BenchmarkDelete deletes a key and puts it back.
func BenchmarkDelete(b *testing.B) {
	for _, typ := range []ebpf.MapType{ebpf.Hash, ebpf.LRUHash, ebpf.LPMTrie} {
		for _, n := range benchSizes {
			b.Run(fmt.Sprintf("%s/%d", typ, n), func(b *testing.B) {
				m, keys := filled(b, typ, n)
				value := le64(1)
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					_ = m.Delete(keys[i]) // may have been evicted
					if err := m.Update(0, keys[i], value, 0); err != nil {
						b.Fatal(err)
					}
					if i++; i == len(keys) {
						i = 0
					}
				}
			})
		}
	}
}

// BenchmarkEvict inserts a new key into a full LRU map each time.
func BenchmarkEvict(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m, _ := filled(b, ebpf.LRUHash, n)
			key, value := le32(0), le64(1)
			b.ReportAllocs()
			i := n
			for b.Loop() {
				i++
				putU32(key, i)
				if err := m.Update(0, key, value, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRingbuf(b *testing.B) {
	r := ring(b, 1<<16)
	b.ReportAllocs()
	var buf []byte
	for b.Loop() {
		at := r.Reserve(64)
		r.Submit(at, 0)
		buf, _, _ = r.Next(buf[:0])
	}
}
