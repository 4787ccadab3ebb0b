package vm

import (
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/vm/interp"
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

// inProgram is how many operations one run of a benchmark's program makes.
const inProgram = 100

// looper calls a helper for inProgram keys of the map, one after another.
func looper(typ ebpf.MapType, n uint32, update bool) *ebpf.ProgramSpec {
	key := asm.Instructions{asm.StoreMem(asm.RFP, -8, asm.R8, asm.Word)}
	if typ == ebpf.LPMTrie {
		key = asm.Instructions{
			asm.StoreImm(asm.RFP, -8, 32, asm.Word),
			asm.Mov.Reg(asm.R1, asm.R8),
			asm.LoadImm(asm.R2, 2654435761, asm.DWord),
			asm.Mul.Reg(asm.R1, asm.R2),
			asm.HostTo(asm.BE, asm.R1, asm.Word),
			asm.StoreMem(asm.RFP, -4, asm.R1, asm.Word),
		}
	}
	call := asm.Instructions{
		asm.LoadMapPtr(asm.R1, 0).WithReference("m"),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -8),
	}
	if update {
		call = append(call, asm.Mov.Reg(asm.R3, asm.RFP), asm.Add.Imm(asm.R3, -16), asm.Mov.Imm(asm.R4, 0),
			asm.FnMapUpdateElem.Call())
	} else {
		call = append(call, asm.FnMapLookupElem.Call())
	}
	insns := asm.Instructions{
		asm.Mov.Imm(asm.R7, inProgram),
		asm.StoreMem(asm.RFP, -16, asm.R7, asm.DWord),
		asm.FnGetPrandomU32.Call(),
		asm.Mov.Reg(asm.R8, asm.R0),
		asm.Mod.Imm(asm.R8, int32(n)).WithSymbol("loop"),
	}
	insns = append(insns, key...)
	insns = append(insns, call...)
	return &ebpf.ProgramSpec{Name: "loop", Type: ebpf.SchedCLS, License: "GPL", Instructions: append(insns,
		asm.Add.Imm(asm.R8, 7919),
		asm.Sub.Imm(asm.R7, 1),
		asm.JNE.Imm(asm.R7, 0, "loop"),
		asm.Mov.Imm(asm.R0, 0),
		asm.Return(),
	)}
}

// BenchmarkMapInProgram is bpf_map_lookup_elem and bpf_map_update_elem, called by
// the same program here and in the kernel.
func BenchmarkMapInProgram(b *testing.B) {
	for _, update := range []bool{false, true} {
		name := map[bool]string{false: "lookup", true: "update"}[update]
		b.Run(name, func(b *testing.B) {
			eachMap(b, func(b *testing.B, typ ebpf.MapType, n uint32) {
				ours, kernel, _ := both(b, typ, n)
				spec := looper(typ, n, update)
				theirs, err := ebpf.NewCollectionWithOptions(
					&ebpf.CollectionSpec{
						Maps:     map[string]*ebpf.MapSpec{"m": benchSpec(typ, n)},
						Programs: map[string]*ebpf.ProgramSpec{"loop": spec},
					}, ebpf.CollectionOptions{MapReplacements: map[string]*ebpf.Map{"m": kernel}})
				if err != nil {
					b.Fatal(err)
				}
				defer theirs.Close()
				coll, err := NewCollectionWithOptions(
					&ebpf.CollectionSpec{
						Maps:     map[string]*ebpf.MapSpec{"m": benchSpec(typ, n)},
						Programs: map[string]*ebpf.ProgramSpec{"loop": spec},
					}, CollectionOptions{
						MapReplacements: map[string]*Map{"m": ours}, Programs: ProgramOptions{Mode: interp.Fast},
					})
				if err != nil {
					b.Fatal(err)
				}
				defer coll.Close()
				in := make([]byte, 14)
				b.Run("skep", func(b *testing.B) {
					benchProgram(b, func(n int) (time.Duration, error) {
						_, took, err := coll.Programs["loop"].Benchmark(in, n, nil)
						return took, err
					})
				})
				b.Run("linux", func(b *testing.B) {
					benchProgram(b, func(n int) (time.Duration, error) {
						_, took, err := theirs.Programs["loop"].Benchmark(in, n, nil)
						return took, err
					})
				})
			})
		})
	}
}

// benchProgram reports how long one call in a program takes; run gives the time of
// one of n runs.
func benchProgram(b *testing.B, run func(n int) (time.Duration, error)) {
	took, batches := time.Duration(0), 0
	for b.Loop() {
		one, err := run(100)
		if err != nil {
			b.Fatal(err)
		}
		took, batches = took+one, batches+1
	}
	b.ReportMetric(float64(took)/float64(batches)/inProgram, "ns/call")
}
