package bench

import (
	"fmt"
	"math/bits"
	"runtime"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// mapOperations are what programs do with a map of each type.
var mapOperations = []struct {
	typ ebpf.MapType
	ops []string
}{
	{ebpf.Array, []string{"lookup", "update"}},
	{ebpf.PerCPUArray, []string{"lookup"}},
	{ebpf.Hash, []string{"lookup", "update", "replace"}},
	{ebpf.LRUHash, []string{"lookup", "update", "replace", "evict"}},
	{ebpf.LPMTrie, []string{"lookup", "update"}},
}

// BenchmarkMap is an operation on a map, called by the same program in each
// engine: with one entry to a million, whose keys come in no order, and for what
// writes also by all CPUs at once. "replace" deletes a key and puts it back,
// "evict" puts a new key into a full map.
func BenchmarkMap(b *testing.B) {
	for _, m := range mapOperations {
		for _, n := range []uint32{1, 1000, 1_000_000} {
			b.Run(fmt.Sprintf("%s/%d", m.typ, n), func(b *testing.B) {
				all := loadAll(b, mapSpec(m.typ, n, m.ops))
				fill(b, all, m.typ, n)
				for _, op := range m.ops {
					if op == "evict" && n == 1 {
						continue // Linux keeps an element for each CPU
					}
					b.Run(op, func(b *testing.B) { raceCalls(b, all, op, 1) })
					if op != "lookup" {
						b.Run(op+"_on_all", func(b *testing.B) { raceCalls(b, all, op, runtime.NumCPU()) })
					}
				}
			})
		}
	}
}

// mapSpec is a map and a program for each operation.
func mapSpec(typ ebpf.MapType, n uint32, ops []string) *ebpf.CollectionSpec {
	m := &ebpf.MapSpec{Name: "map", Type: typ, KeySize: 4, ValueSize: 8, MaxEntries: n}
	maps := map[string]*ebpf.MapSpec{"map": m}
	switch typ {
	case ebpf.LPMTrie:
		m.KeySize, m.Flags = 8, 1 // BPF_F_NO_PREALLOC
	case ebpf.LRUHash:
		full := m.Copy()
		full.Name, maps["full"] = "full", full
		m.MaxEntries = 2*n + 1024 // Linux evicts sooner than it must
	}
	progs := make(map[string]*ebpf.ProgramSpec)
	for _, op := range ops {
		progs[op] = loop(op, mapKey(typ, op, n), mapCall(op))
	}
	return &ebpf.CollectionSpec{Maps: maps, Programs: progs}
}

// fill puts n entries into the map, all values 0.
func fill(b *testing.B, all []loaded, typ ebpf.MapType, n uint32) {
	if typ == ebpf.Array || typ == ebpf.PerCPUArray {
		return // they always have all
	}
	keys := any(sequence(n, func(i uint32) uint32 { return i }))
	if typ == ebpf.LPMTrie { // a length, and an address in network byte order
		keys = sequence(n, func(i uint32) [2]uint32 { return [2]uint32{32, bits.ReverseBytes32(i * keySpread)} })
	}
	for _, w := range all {
		if _, err := w.Map("map").BatchUpdate(keys, make([]uint64, n), nil); err != nil {
			b.Fatalf("%s: fill the map: %v", w.engine, err)
		}
	}
}

func sequence[T any](n uint32, at func(i uint32) T) []T {
	all := make([]T, n)
	for i := range all {
		all[i] = at(uint32(i))
	}
	return all
}

// keySpread makes numbers that follow one another addresses that do not.
const keySpread = 2654435761

// mapKey makes the next key: one of those in the map, or of four times as many.
func mapKey(typ ebpf.MapType, op string, n uint32) asm.Instructions {
	if op == "evict" {
		n *= 4
	}
	insns := asm.Instructions{
		asm.Mul.Imm32(chance, 1664525),
		asm.Add.Imm32(chance, 1013904223),
		asm.Mov.Reg(asm.R1, chance),
		asm.Mul.Imm(asm.R1, int32(n)),
		asm.RSh.Imm(asm.R1, 32),
	}
	if typ != ebpf.LPMTrie {
		return append(insns, asm.StoreMem(asm.RFP, keyAt, asm.R1, asm.Word))
	}
	spread := uint32(keySpread)
	return append(insns,
		asm.Mul.Imm32(asm.R1, int32(spread)),
		asm.HostTo(asm.BE, asm.R1, asm.Word),
		asm.StoreMem(asm.RFP, keyAt+4, asm.R1, asm.Word),
	)
}

// mapCall is the operation with the key.
func mapCall(op string) asm.Instructions {
	name := "map"
	if op == "evict" {
		name = "full"
	}
	withKey := asm.Instructions{
		asm.LoadMapPtr(asm.R1, 0).WithReference(name),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, keyAt),
	}
	update := append(withKey[:len(withKey):len(withKey)],
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, valueAt),
		asm.Mov.Imm(asm.R4, 0),
		asm.FnMapUpdateElem.Call(),
		asm.Or.Reg(failed, asm.R0),
	)
	switch op {
	case "lookup":
		return append(withKey,
			asm.FnMapLookupElem.Call(),
			asm.JNE.Imm(asm.R0, 0, "found"),
			asm.Mov.Imm(asm.R0, 1),
			asm.Return(),
			asm.LoadMem(asm.R0, asm.R0, 0, asm.DWord).WithSymbol("found"),
			asm.Or.Reg(failed, asm.R0),
		)
	case "replace":
		return append(append(withKey, asm.FnMapDeleteElem.Call()), update...)
	}
	return update
}
