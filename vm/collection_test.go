package vm_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/interp"
)

func xdp(name string, insns ...asm.Instruction) *ebpf.ProgramSpec {
	return &ebpf.ProgramSpec{Name: name, Type: ebpf.XDP, Instructions: insns}
}

// returns makes a program that returns v.
func returns(name string, v int32) *ebpf.ProgramSpec {
	return xdp(name, asm.Mov.Imm(asm.R0, v), asm.Return())
}

// tailCalls makes a program that jumps to slot 0 of an array and returns 1 where
// that is empty.
func tailCalls(name, array string) *ebpf.ProgramSpec {
	return xdp(name,
		asm.LoadMapPtr(asm.R2, 0).WithReference(array),
		asm.Mov.Imm(asm.R3, 0),
		asm.FnTailCall.Call(),
		asm.Mov.Imm(asm.R0, 1),
		asm.Return(),
	)
}

func load(t *testing.T, spec *ebpf.CollectionSpec) *vm.Collection {
	t.Helper()
	coll, err := vm.NewCollection(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(coll.Close)
	return coll
}

func run(t *testing.T, p *vm.Program) uint32 {
	t.Helper()
	ret, _, err := p.Test(make([]byte, 64))
	if err != nil {
		t.Fatal(err)
	}
	return ret
}

func TestProgramArray(t *testing.T) {
	coll := load(t, &ebpf.CollectionSpec{
		Programs: map[string]*ebpf.ProgramSpec{
			"entry": tailCalls("entry", "jumps"), "two": returns("two", 2), "three": returns("three", 3),
		},
		Maps: map[string]*ebpf.MapSpec{"jumps": {
			Name: "jumps", Type: ebpf.ProgramArray, KeySize: 4, ValueSize: 4, MaxEntries: 2,
			Contents: []ebpf.MapKV{{Key: uint32(0), Value: "two"}},
		}},
	})
	jumps, entry := coll.Maps["jumps"], coll.Programs["entry"]
	if got := run(t, entry); got != 2 {
		t.Fatalf("initial value: returned %d", got)
	}
	if err := jumps.Put(uint32(0), coll.Programs["three"]); err != nil {
		t.Fatal(err)
	}
	coll.Programs["three"].Close() // the array holds it
	delete(coll.Programs, "three")
	if got := run(t, entry); got != 3 {
		t.Fatalf("after an update: returned %d", got)
	}
	byNumber, err := vm.NewProgram(returns("four", 4))
	if err != nil {
		t.Fatal(err)
	}
	if err := jumps.Put(uint32(0), uint32(byNumber.FD())); err != nil {
		t.Fatal(err)
	}
	number := byNumber.FD()
	byNumber.Close() // the array holds it, too
	held, err := vm.NewProgramFromFD(number)
	if err != nil {
		t.Fatalf("a program that an array names by its number is gone: %v", err)
	}
	held.Close()
	if got := run(t, entry); got != 4 {
		t.Fatalf("by number: returned %d", got)
	}
	if err := jumps.Delete(uint32(0)); err != nil {
		t.Fatal(err)
	}
	if got := run(t, entry); got != 1 {
		t.Fatalf("empty slot: returned %d", got)
	}
}

func TestMapOfMaps(t *testing.T) {
	inner := func(name string) *ebpf.MapSpec {
		return &ebpf.MapSpec{Name: name, Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1}
	}
	first := inner("first")
	first.Contents = []ebpf.MapKV{{Key: uint32(0), Value: uint32(7)}}
	lookup := func(m asm.Instruction, fail string) asm.Instructions {
		return asm.Instructions{
			m,
			asm.Mov.Reg(asm.R2, asm.RFP),
			asm.Add.Imm(asm.R2, -4),
			asm.FnMapLookupElem.Call(),
			asm.JEq.Imm(asm.R0, 0, fail),
		}
	}
	insns := asm.Instructions{asm.StoreImm(asm.RFP, -4, 0, asm.Word)}
	insns = append(insns, lookup(asm.LoadMapPtr(asm.R1, 0).WithReference("outer"), "out")...)
	insns = append(insns, lookup(asm.Mov.Reg(asm.R1, asm.R0), "out")...)
	insns = append(insns,
		asm.LoadMem(asm.R0, asm.R0, 0, asm.Word),
		asm.Return().WithSymbol("out"),
	)
	coll := load(t, &ebpf.CollectionSpec{
		Programs: map[string]*ebpf.ProgramSpec{"entry": xdp("entry", insns...)},
		Maps: map[string]*ebpf.MapSpec{
			"first": first,
			"outer": {
				Name: "outer", Type: ebpf.ArrayOfMaps, KeySize: 4, ValueSize: 4, MaxEntries: 1,
				InnerMap: inner("template"), Contents: []ebpf.MapKV{{Key: uint32(0), Value: "first"}},
			},
		},
	})
	if got := run(t, coll.Programs["entry"]); got != 7 {
		t.Fatalf("initial inner map: returned %d", got)
	}
	second, err := vm.NewMap(inner("second"))
	if err != nil {
		t.Fatal(err)
	}
	outer := coll.Maps["outer"]
	if err := outer.Put(uint32(0), second); err != nil {
		t.Fatal(err)
	}
	if err := second.Put(uint32(0), uint32(8)); err != nil {
		t.Fatal(err)
	}
	second.Close()
	if got := run(t, coll.Programs["entry"]); got != 8 {
		t.Fatalf("replaced inner map: returned %d", got)
	}
	var found *vm.Map
	if err := outer.Lookup(uint32(0), &found); err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	if found.Name() != "second" {
		t.Fatalf("looked up %s", found)
	}
}

func TestMapErrors(t *testing.T) {
	m, err := vm.NewMap(&ebpf.MapSpec{Name: "m", Type: ebpf.Hash, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var v uint32
	check := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	check("lookup of nothing", m.Lookup(uint32(1), &v), ebpf.ErrKeyNotExist)
	check("lookup of nothing", m.Lookup(uint32(1), &v), errno.ENOENT)
	check("delete of nothing", m.Delete(uint32(1)), ebpf.ErrKeyNotExist)
	check("replace of nothing", m.Update(uint32(1), v, ebpf.UpdateExist), ebpf.ErrKeyNotExist)
	check("create", m.Update(uint32(1), v, ebpf.UpdateNoExist), nil)
	check("create again", m.Update(uint32(1), v, ebpf.UpdateNoExist), ebpf.ErrKeyExist)
	check("overfull", m.Put(uint32(2), v), errno.E2BIG)
	for _, err := range []error{m.Put(uint64(1), v), m.Put(uint32(1), uint64(1)), m.Put(uint32(1), m), m.Lookup(uint32(1), new(uint64))} {
		if err == nil {
			t.Error("a wrong size or type was taken")
		}
	}
	if err := m.Freeze(); err != nil {
		t.Fatal(err)
	}
	check("update when frozen", m.Put(uint32(1), v), errno.EPERM)
}

func TestIterateAndBatch(t *testing.T) {
	for _, typ := range []ebpf.MapType{ebpf.Hash, ebpf.PerCPUHash} {
		t.Run(typ.String(), func(t *testing.T) {
			m, err := vm.NewMap(&ebpf.MapSpec{Name: "m", Type: typ, KeySize: 4, ValueSize: 8, MaxEntries: 100})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			per := 1
			if typ == ebpf.PerCPUHash {
				per = vm.PossibleCPU()
			}
			keys, values := make([]uint32, 40), make([]uint64, 40*per)
			for i := range keys {
				keys[i] = uint32(i)
				for c := range per {
					values[i*per+c] = uint64(i*1000 + c)
				}
			}
			if n, err := m.BatchUpdate(keys, values, nil); n != 40 || err != nil {
				t.Fatal(n, err)
			}
			want := make(map[uint32][]uint64)
			for i, k := range keys {
				want[k] = values[i*per : (i+1)*per]
			}

			got := make(map[uint32][]uint64)
			var key uint32
			it := m.Iterate()
			if per == 1 && typ == ebpf.Hash {
				var v uint64
				for it.Next(&key, &v) {
					got[key] = []uint64{v}
				}
			} else {
				var v []uint64
				for it.Next(&key, &v) {
					got[key] = slices.Clone(v)
				}
			}
			if err := it.Err(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatal("iterate:", diff)
			}

			clear(got)
			var cursor vm.MapBatchCursor
			for {
				k, v := make([]uint32, 7), make([]uint64, 7*per)
				n, err := m.BatchLookup(&cursor, k, v, nil)
				for i := range n {
					got[k[i]] = v[i*per : (i+1)*per]
				}
				if errors.Is(err, ebpf.ErrKeyNotExist) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatal("batch lookup:", diff)
			}

			cursor = vm.MapBatchCursor{}
			n, err := m.BatchLookupAndDelete(&cursor, make([]uint32, 100), make([]uint64, 100*per), nil)
			if n != 40 || !errors.Is(err, ebpf.ErrKeyNotExist) {
				t.Fatal(n, err)
			}
			if k, err := m.NextKeyBytes(nil); k != nil || err != nil {
				t.Fatalf("after deletion of all there is %x, %v", k, err)
			}
		})
	}
}

func TestRunLimits(t *testing.T) {
	loop := asm.Instructions{asm.Mov.Imm(asm.R0, 0).WithSymbol("again"), asm.Ja.Label("again")}
	coll := &ebpf.CollectionSpec{Programs: map[string]*ebpf.ProgramSpec{"loop": xdp("loop", loop...)}}
	c, err := vm.NewCollectionWithOptions(coll, vm.CollectionOptions{Programs: vm.Unverified(vm.ProgramOptions{Budget: 1e6})})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, _, err := c.Programs["loop"].Test(make([]byte, 64)); !errors.Is(err, interp.ErrBudget) {
		t.Fatalf("an endless loop ended with %v", err)
	}

	c, err = vm.NewCollectionWithOptions(coll, vm.CollectionOptions{Programs: vm.Unverified(vm.ProgramOptions{})})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	in, out := vm.Input{Data: make([]byte, 64)}, vm.Output{}
	if err := c.Programs["loop"].Exec(ctx, &in, &out); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a run over its deadline ended with %v", err)
	}
}

func TestExecAllocatesNothing(t *testing.T) {
	coll := load(t, &ebpf.CollectionSpec{Programs: map[string]*ebpf.ProgramSpec{"p": returns("p", 2)}})
	in, out := vm.Input{Data: make([]byte, 64)}, vm.Output{}
	ctx := context.Background()
	if n := testing.AllocsPerRun(100, func() {
		if err := coll.Programs["p"].Exec(ctx, &in, &out); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Fatalf("%v allocations a run", n)
	}
}

func TestVariables(t *testing.T) {
	p, err := program.Open(filepath.Join(testenv.Root(t), "examples", "firewall", "firewall.bpf.o"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Set("blocked_port", "80"); err != nil {
		t.Fatal(err)
	}
	var objs struct {
		Firewall *vm.Program  `ebpf:"firewall"`
		Verdicts *vm.Map      `ebpf:"verdicts"`
		Port     *vm.Variable `ebpf:"blocked_port"`
		Dropped  *vm.Variable `ebpf:"dropped"`
	}
	if err := vm.LoadAndAssign(p.Spec, &objs, nil); err != nil {
		t.Fatal(err)
	}
	defer objs.Firewall.Close()
	defer objs.Verdicts.Close()
	var port uint16
	if err := objs.Port.Get(&port); err != nil || port != 80 {
		t.Fatal(port, err)
	}
	if err := objs.Port.Set(uint16(1)); !errors.Is(err, ebpf.ErrReadOnly) {
		t.Fatalf("a constant was set: %v", err)
	}
	if err := objs.Dropped.Set(uint64(41)); err != nil {
		t.Fatal(err)
	}
	short := make([]byte, 20)
	short[12] = 8 // IPv4, but no header
	if ret, _, err := objs.Firewall.Test(short); ret != 1 || err != nil {
		t.Fatal(ret, err)
	}
	var dropped uint64
	if err := objs.Dropped.Get(&dropped); err != nil || dropped != 42 {
		t.Fatal(dropped, err)
	}
}

func TestLoadErrors(t *testing.T) {
	tests := []struct {
		name string
		spec *ebpf.CollectionSpec
		want string
	}{
		{"missing map", &ebpf.CollectionSpec{Programs: map[string]*ebpf.ProgramSpec{"p": tailCalls("p", "nowhere")}}, "nowhere"},
		{"unknown helper", &ebpf.CollectionSpec{Programs: map[string]*ebpf.ProgramSpec{
			"p": xdp("p", asm.BuiltinFunc(9999).Call(), asm.Return()),
		}}, "9999"},
		{"helper of another type", &ebpf.CollectionSpec{Programs: map[string]*ebpf.ProgramSpec{
			"p": xdp("p", asm.FnSkbLoadBytes.Call(), asm.Return()),
		}}, "bpf_skb_load_bytes"},
		{"program type", &ebpf.CollectionSpec{Programs: map[string]*ebpf.ProgramSpec{
			"p": {Name: "p", Type: ebpf.UnspecifiedProgram, Instructions: asm.Instructions{asm.Return()}},
		}}, "program type"},
		{"map size", &ebpf.CollectionSpec{Maps: map[string]*ebpf.MapSpec{
			"m": {Name: "m", Type: ebpf.Array, KeySize: 8, ValueSize: 4, MaxEntries: 1},
		}}, "map m"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			coll, err := vm.NewCollection(tt.spec)
			if err == nil {
				coll.Close()
				t.Fatal("loaded")
			}
			if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("error %q does not say %q in one line", err, tt.want)
			}
		})
	}
	if _, err := vm.LoadCollection("no-such-file.o"); !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}
