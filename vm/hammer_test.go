package vm_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/engine"
	"github.com/skep-ebpf/skep/vm/interp"
	"github.com/skep-ebpf/skep/vm/ringbuf"
)

// How long each hammer takes.
const hammerTime = 300 * time.Millisecond

// What the hammer's keys are by their number: those that are always in the map, those
// that come and go, and those that never were in it.
const (
	staying = 64
	moving  = 64
	never   = 1 << 20
	// mark is the upper half of each value.
	mark = 0x5eed5eed
)

// lookups is a program that looks 1,000 keys of each kind up, and gives a set of what
// was wrong: 1 for a key that is always there and was not found, 2 for one that was found
// and never was there, 4 for a value that is none of the map's.
func lookups(typ ebpf.MapType) *ebpf.ProgramSpec {
	keyAt := int32(-4)
	if typ == ebpf.LPMTrie {
		keyAt = -8
	}
	lookup := func(kind string, first, n int32) asm.Instructions {
		return asm.Instructions{
			asm.Mul.Imm32(asm.R8, 1664525),
			asm.Add.Imm32(asm.R8, 1013904223),
			asm.Mov.Reg(asm.R1, asm.R8),
			asm.RSh.Imm(asm.R1, 8),
			asm.Mod.Imm(asm.R1, n),
			asm.Add.Imm(asm.R1, first),
			asm.StoreImm(asm.RFP, -8, 32, asm.Word),
			asm.StoreMem(asm.RFP, -4, asm.R1, asm.Word),
			asm.LoadMapPtr(asm.R1, 0).WithReference("map"),
			asm.Mov.Reg(asm.R2, asm.RFP),
			asm.Add.Imm(asm.R2, keyAt),
			asm.FnMapLookupElem.Call(),
			asm.JEq.Imm(asm.R0, 0, kind+"missing"),
		}
	}
	check := func(kind string, whenMissing int32) asm.Instructions {
		return asm.Instructions{
			asm.LoadMem(asm.R0, asm.R0, 4, asm.Word),
			asm.JEq.Imm32(asm.R0, mark, kind+"done"),
			asm.Or.Imm(asm.R6, 4),
			asm.Ja.Label(kind + "done"),
			asm.Or.Imm(asm.R6, whenMissing).WithSymbol(kind + "missing"),
		}
	}
	missing := int32(1)
	if typ == ebpf.LRUHash { // they may go
		missing = 0
	}
	insns := asm.Instructions{
		asm.Mov.Imm(asm.R6, 0),
		asm.Mov.Imm(asm.R7, 1000),
		asm.FnGetPrandomU32.Call(),
		asm.Mov.Reg(asm.R8, asm.R0),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("loop"),
	}
	insns = append(append(insns, lookup("stays", 0, staying)...), check("stays", missing)...)
	insns = append(insns, asm.Mov.Imm(asm.R0, 0).WithSymbol("staysdone"))
	insns = append(append(insns, lookup("moves", staying, moving)...), check("moves", 0)...)
	insns = append(insns, asm.Mov.Imm(asm.R0, 0).WithSymbol("movesdone"))
	insns = append(insns, lookup("never", never, 1000)...)
	return &ebpf.ProgramSpec{Name: "lookups", Type: ebpf.SchedCLS, License: "GPL", Instructions: append(insns,
		asm.Or.Imm(asm.R6, 2),
		asm.Sub.Imm(asm.R7, 1).WithSymbol("nevermissing"),
		asm.JNE.Imm(asm.R7, 0, "loop"),
		asm.Mov.Reg(asm.R0, asm.R6),
		asm.Return(),
	)}
}

// TestLookupsWhileWritten looks keys up on all CPUs while user space changes the map.
func TestLookupsWhileWritten(t *testing.T) {
	for _, typ := range []ebpf.MapType{ebpf.Hash, ebpf.LRUHash, ebpf.LPMTrie} {
		for _, mode := range engine.Modes() {
			t.Run(fmt.Sprintf("%s/%s", typ, mode), func(t *testing.T) { lookupsWhileWritten(t, typ, mode) })
		}
	}
}

func lookupsWhileWritten(t *testing.T, typ ebpf.MapType, mode engine.Mode) {
	spec := &ebpf.MapSpec{Name: "map", Type: typ, KeySize: 4, ValueSize: 8, MaxEntries: staying + moving}
	if typ == ebpf.LPMTrie {
		spec.KeySize, spec.Flags = 8, 1 // BPF_F_NO_PREALLOC
	}
	coll, err := vm.NewCollectionWithOptions(&ebpf.CollectionSpec{
		Maps:     map[string]*ebpf.MapSpec{"map": spec},
		Programs: map[string]*ebpf.ProgramSpec{"lookups": lookups(typ)},
	}, vm.CollectionOptions{Programs: vm.ProgramOptions{Mode: mode}})
	if err != nil {
		t.Fatal(err)
	}
	defer coll.Close()
	m := coll.Maps["map"]
	keyOf := func(n uint32) []byte {
		key := binary.NativeEndian.AppendUint32(binary.NativeEndian.AppendUint32(nil, 32), n)
		return key[8-spec.KeySize:]
	}
	put := func(key uint32) {
		if err := m.Put(keyOf(key), uint64(mark)<<32|uint64(key)); err != nil {
			t.Error(err)
		}
	}
	for key := range uint32(staying) {
		put(key)
	}
	end := time.Now().Add(hammerTime)
	var wg sync.WaitGroup
	for range runtime.NumCPU() {
		wg.Go(func() {
			for time.Now().Before(end) {
				put(rand.Uint32N(staying))
				key := staying + rand.Uint32N(moving)
				put(key)
				_ = m.Delete(keyOf(key)) // by another writer, or evicted
			}
		})
		wg.Go(func() {
			for time.Now().Before(end) {
				wrong, err := coll.Programs["lookups"].Run(&ebpf.RunOptions{Data: make([]byte, 14)})
				if err != nil || wrong != 0 {
					t.Errorf("wrong: %d, %v", wrong, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// records is a program that writes 100 records to a ring: who writes, and a number that
// grows. It gives how many found no room.
func records() *ebpf.ProgramSpec {
	return &ebpf.ProgramSpec{Name: "records", Type: ebpf.SchedCLS, License: "GPL", Instructions: asm.Instructions{
		asm.Mov.Imm(asm.R6, 0),
		asm.Mov.Imm(asm.R7, 100),
		asm.FnGetSmpProcessorId.Call(),
		asm.Mov.Reg(asm.R8, asm.R0),
		asm.StoreMem(asm.RFP, -4, asm.R0, asm.Word),
		asm.LoadMapPtr(asm.R1, 0).WithReference("counts"),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "end"),
		asm.Mov.Reg(asm.R9, asm.R0),

		asm.LoadMapPtr(asm.R1, 0).WithReference("ring").WithSymbol("loop"),
		asm.Mov.Imm(asm.R2, 24),
		asm.Mov.Imm(asm.R3, 0),
		asm.FnRingbufReserve.Call(),
		asm.JEq.Imm(asm.R0, 0, "full"),
		asm.LoadMem(asm.R1, asm.R9, 0, asm.DWord),
		asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(asm.R9, 0, asm.R1, asm.DWord),
		asm.StoreMem(asm.R0, 0, asm.R8, asm.DWord),
		asm.StoreMem(asm.R0, 8, asm.R1, asm.DWord),
		asm.Xor.Reg(asm.R1, asm.R8),
		asm.StoreMem(asm.R0, 16, asm.R1, asm.DWord),
		asm.Mov.Reg(asm.R1, asm.R0),
		asm.Mov.Imm(asm.R2, 0),
		asm.FnRingbufSubmit.Call(),
		asm.Ja.Label("next"),
		asm.Add.Imm(asm.R6, 1).WithSymbol("full"),
		asm.Sub.Imm(asm.R7, 1).WithSymbol("next"),
		asm.JNE.Imm(asm.R7, 0, "loop"),
		asm.Mov.Reg(asm.R0, asm.R6).WithSymbol("end"),
		asm.Return(),
	}}
}

// TestRecordsFromAllCPUs reads what programs on all CPUs write to a ring: all of it, in
// each one's order, woken whenever there is something.
func TestRecordsFromAllCPUs(t *testing.T) {
	for _, mode := range engine.Modes() {
		t.Run(mode.String(), func(t *testing.T) { recordsFromAllCPUs(t, mode) })
	}
}

func recordsFromAllCPUs(t *testing.T, mode engine.Mode) {
	coll, err := vm.NewCollectionWithOptions(&ebpf.CollectionSpec{
		Maps: map[string]*ebpf.MapSpec{
			"ring":   {Name: "ring", Type: ebpf.RingBuf, MaxEntries: 1 << 14},
			"counts": {Name: "counts", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 64},
		},
		Programs: map[string]*ebpf.ProgramSpec{"records": records()},
	}, vm.CollectionOptions{Programs: vm.ProgramOptions{Mode: mode}})
	if err != nil {
		t.Fatal(err)
	}
	defer coll.Close()
	reader, err := ringbuf.NewReader(coll.Maps["ring"])
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	end := time.Now().Add(hammerTime)
	for range runtime.NumCPU() {
		wg.Go(func() {
			for time.Now().Before(end) {
				if _, err := coll.Programs["records"].Run(&ebpf.RunOptions{Data: make([]byte, 14)}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	reader.SetDeadline(end.Add(300 * time.Millisecond)) // for the last ones
	got := map[uint64]uint64{}                          // by CPU, the last number
	for {
		rec, err := reader.Read()
		if err != nil {
			break
		}
		cpu, n, sum := binary.NativeEndian.Uint64(rec.RawSample), binary.NativeEndian.Uint64(rec.RawSample[8:]), binary.NativeEndian.Uint64(rec.RawSample[16:])
		if n != got[cpu]+1 || sum != n^cpu {
			t.Fatalf("CPU %d: record %d (%#x) after %d", cpu, n, sum, got[cpu])
		}
		got[cpu] = n
	}
	wg.Wait()
	for cpu, n := range got {
		var want uint64
		if err := coll.Maps["counts"].Lookup(uint32(cpu), &want); err != nil || n != want {
			t.Errorf("CPU %d: read %d records of %d, %v", cpu, n, want, err)
		}
	}
	if len(got) == 0 {
		t.Error("no records")
	}
}

// reserves is a program that reserves a record, asks for the time n times, and submits
// the record.
func reserves(name string, n int32) *ebpf.ProgramSpec {
	return &ebpf.ProgramSpec{Name: name, Type: ebpf.SchedCLS, License: "GPL", Instructions: asm.Instructions{
		asm.LoadMapPtr(asm.R1, 0).WithReference("ring"),
		asm.Mov.Imm(asm.R2, 8),
		asm.Mov.Imm(asm.R3, 0),
		asm.FnRingbufReserve.Call(),
		asm.JEq.Imm(asm.R0, 0, "end"),
		asm.Mov.Reg(asm.R6, asm.R0),
		asm.Mov.Imm(asm.R7, n),
		asm.FnKtimeGetNs.Call().WithSymbol("loop"),
		asm.Sub.Imm(asm.R7, 1),
		asm.JNE.Imm(asm.R7, 0, "loop"),
		asm.StoreMem(asm.R6, 0, asm.R0, asm.DWord),
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Imm(asm.R2, 0),
		asm.FnRingbufSubmit.Call(),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("end"),
		asm.Return(),
	}}
}

// TestRecordOfRunThatEnds reads a record behind one whose program was ended before it
// could submit it.
func TestRecordOfRunThatEnds(t *testing.T) {
	for _, mode := range engine.Modes() {
		t.Run(mode.String(), func(t *testing.T) {
			coll, err := vm.NewCollectionWithOptions(&ebpf.CollectionSpec{
				Maps:     map[string]*ebpf.MapSpec{"ring": {Name: "ring", Type: ebpf.RingBuf, MaxEntries: 4096}},
				Programs: map[string]*ebpf.ProgramSpec{"long": reserves("long", 1<<20), "short": reserves("short", 1)},
			}, vm.CollectionOptions{Programs: vm.ProgramOptions{Mode: mode, Budget: 10_000}})
			if err != nil {
				t.Fatal(err)
			}
			defer coll.Close()
			opts := &ebpf.RunOptions{Data: make([]byte, 14)}
			if _, err := coll.Programs["long"].Run(opts); !errors.Is(err, interp.ErrBudget) {
				t.Fatalf("the long program ends with %v", err)
			}
			if _, err := coll.Programs["short"].Run(opts); err != nil {
				t.Fatal(err)
			}
			reader, err := ringbuf.NewReader(coll.Maps["ring"])
			if err != nil {
				t.Fatal(err)
			}
			reader.SetDeadline(time.Now().Add(10 * time.Second))
			if rec, err := reader.Read(); err != nil || binary.NativeEndian.Uint64(rec.RawSample) == 0 {
				t.Errorf("read %x, %v", rec.RawSample, err)
			}
		})
	}
}
