package vm

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
)

// fieldType is one of the structs that values keep things in.
func fieldType(name string, size uint32) *btf.Struct {
	word := &btf.Int{Name: "unsigned long long", Size: 8}
	if size == 4 {
		return &btf.Struct{Name: name, Size: 4, Members: []btf.Member{{Name: "val", Type: &btf.Int{Name: "unsigned int", Size: 4}}}}
	}
	return &btf.Struct{Name: name, Size: size, Members: []btf.Member{{
		Name: "__opaque", Type: &btf.Array{Index: &btf.Int{Name: "unsigned int", Size: 4}, Type: word, Nelems: size / 8},
	}}}
}

// timed is a map whose value is a count and a timer:
//
//	struct { __u64 count; struct bpf_timer timer; struct bpf_spin_lock lock; }
//
// An LRU map's has no lock.
func timed(typ ebpf.MapType) *ebpf.MapSpec {
	word := &btf.Int{Name: "unsigned long long", Size: 8}
	lock := btf.Type(fieldType("bpf_spin_lock", 4))
	if typ == ebpf.LRUHash {
		lock = word
	}
	return &ebpf.MapSpec{
		Name: "timed", Type: typ, KeySize: 4, ValueSize: 32, MaxEntries: 2,
		Key: &btf.Int{Name: "int", Size: 4},
		Value: &btf.Struct{Name: "timed", Size: 32, Members: []btf.Member{
			{Name: "count", Type: word},
			{Name: "timer", Type: fieldType("bpf_timer", 16), Offset: 64},
			{Name: "lock", Type: lock, Offset: 192},
		}},
	}
}

// value puts the address of the value of key 1 into R6.
func valueOf(name string) asm.Instructions {
	return asm.Instructions{
		asm.StoreImm(asm.RFP, -4, 1, asm.Word),
		asm.LoadMapPtr(asm.R1, 0).WithReference(name),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JNE.Imm(asm.R0, 0, "found"),
		asm.Mov.Imm(asm.R0, 99),
		asm.Return(),
		asm.Mov.Reg(asm.R6, asm.R0).WithSymbol("found"),
	}
}

// starter starts the timer of key 1 in a second and gives what the last call gave;
// the timer counts its key and starts itself again for so long.
func starter(again int32) *ebpf.ProgramSpec {
	insns := append(valueOf("timed"),
		asm.Mov.Reg(asm.R1, asm.R6), asm.Add.Imm(asm.R1, 8),
		asm.LoadMapPtr(asm.R2, 0).WithReference("timed"),
		asm.Mov.Imm(asm.R3, 1), // CLOCK_MONOTONIC
		asm.FnTimerInit.Call(),
		asm.Mov.Reg(asm.R7, asm.R0),
		asm.Mov.Reg(asm.R1, asm.R6), asm.Add.Imm(asm.R1, 8),
		asm.Instruction{OpCode: asm.LoadImmOp(asm.DWord), Dst: asm.R2, Src: asm.PseudoFunc, Constant: -1}.WithReference("tick"),
		asm.FnTimerSetCallback.Call(),
		asm.Mov.Reg(asm.R1, asm.R6), asm.Add.Imm(asm.R1, 8),
		asm.Mov.Imm(asm.R2, 1_000_000_000),
		asm.Mov.Imm(asm.R3, 0),
		asm.FnTimerStart.Call(),
		asm.Or.Reg(asm.R0, asm.R7),
		asm.Return(),

		asm.LoadMem(asm.R1, asm.R2, 0, asm.Word).WithSymbol("tick"), // the key
		asm.LoadMem(asm.R0, asm.R3, 0, asm.DWord),
		asm.Add.Reg(asm.R0, asm.R1),
		asm.StoreMem(asm.R3, 0, asm.R0, asm.DWord),
		asm.Mov.Imm(asm.R2, again),
		asm.JEq.Imm(asm.R2, 0, "done"),
		asm.Mov.Reg(asm.R1, asm.R3), asm.Add.Imm(asm.R1, 8),
		asm.Mov.Imm(asm.R3, 0),
		asm.FnTimerStart.Call(),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("done"),
		asm.Return(),
	)
	for i := range insns {
		if insns[i].Symbol() == "tick" {
			insns[i] = btf.WithFuncMetadata(insns[i], tickFunc)
		}
	}
	return &ebpf.ProgramSpec{Name: "start", Type: ebpf.SchedCLS, License: "GPL", Instructions: insns}
}

var tickFunc = &btf.Func{Name: "tick", Type: &btf.FuncProto{Return: &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}}}

func load(t *testing.T, clock *time.Duration, m *ebpf.MapSpec, progs ...*ebpf.ProgramSpec) *Collection {
	t.Helper()
	spec := &ebpf.CollectionSpec{Maps: map[string]*ebpf.MapSpec{m.Name: m}, Programs: map[string]*ebpf.ProgramSpec{}}
	for _, p := range progs {
		spec.Programs[p.Name] = p
	}
	return loadWith(t, ProgramOptions{Env: &exec.Env{Now: func() time.Duration { return *clock }}}, spec)
}

func loadWith(t *testing.T, opts ProgramOptions, spec *ebpf.CollectionSpec) *Collection {
	t.Helper()
	coll, err := NewCollectionWithOptions(spec, CollectionOptions{Programs: opts})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(coll.Close)
	return coll
}

func TestTimer(t *testing.T) {
	for _, typ := range []ebpf.MapType{ebpf.Array, ebpf.Hash, ebpf.LRUHash} {
		t.Run(typ.String(), func(t *testing.T) {
			var clock time.Duration
			coll := load(t, &clock, timed(typ), starter(0))
			m := coll.Maps["timed"]
			if err := m.Put(uint32(1), make([]byte, 32)); err != nil {
				t.Fatal(err)
			}
			count := func() uint64 {
				value, err := m.LookupBytes(uint32(1))
				if err != nil {
					t.Fatal(err)
				}
				if string(value[8:28]) != string(make([]byte, 20)) {
					t.Errorf("user space sees %x of the timer and the lock", value[8:])
				}
				return binary.NativeEndian.Uint64(value)
			}
			run := func() uint32 {
				t.Helper()
				ret, _, err := coll.Programs["start"].Test(make([]byte, 14))
				if err != nil {
					t.Fatal(err)
				}
				return ret
			}
			if ret := run(); ret != 0 {
				t.Fatalf("start gives %d", int32(ret))
			}
			if next, ok := coll.NextTimer(); !ok || next != time.Second {
				t.Errorf("the next timer is due at %v (%v)", next, ok)
			}
			if clock = time.Second - 1; count() != 0 {
				t.Error("fired before it was due")
			}
			clock = time.Second
			if n, err := coll.RunTimers(t.Context()); n != 1 || err != nil || count() != 1 {
				t.Fatalf("fired %d times, counted %d, %v", n, count(), err)
			}
			if ret := run(); int32(ret) != -int32(errno.EBUSY) {
				t.Errorf("a second bpf_timer_init gives %d", int32(ret))
			}
			// The value's end is the timer's, too.
			if err := m.Put(uint32(1), make([]byte, 32)); err != nil {
				t.Fatal(err)
			}
			if _, ok := coll.NextTimer(); ok {
				t.Error("the timer of an overwritten value is still to fire")
			}
			if ret := run(); ret != 0 {
				t.Errorf("start in the new value gives %d", int32(ret))
			}
			coll.Programs["start"].Close()
			delete(coll.Programs, "start")
			if _, ok := coll.NextTimer(); ok {
				t.Error("a closed program's function is still to be called")
			}
		})
	}
}

// A timer that starts itself again has fired as often as time has passed, however
// seldom anybody looks.
func TestTimerAgain(t *testing.T) {
	var clock time.Duration
	coll := load(t, &clock, timed(ebpf.Array), starter(1_000_000_000))
	if _, _, err := coll.Programs["start"].Test(make([]byte, 14)); err != nil {
		t.Fatal(err)
	}
	clock = 10 * time.Second
	if n, err := coll.RunTimers(t.Context()); n != 10 || err != nil {
		t.Errorf("fired %d times in ten seconds: %v", n, err)
	}
}

// A run that ends with a lock gives it back, and is told so.
func TestLockIsGivenBack(t *testing.T) {
	locker := &ebpf.ProgramSpec{Name: "lock", Type: ebpf.SchedCLS, Instructions: append(valueOf("timed"),
		asm.Mov.Reg(asm.R1, asm.R6), asm.Add.Imm(asm.R1, 24),
		asm.FnSpinLock.Call(),
		asm.Mov.Imm(asm.R0, 0),
		asm.Return(),
	)}
	m := timed(ebpf.Array)
	coll := loadWith(t, Unverified(ProgramOptions{}), &ebpf.CollectionSpec{
		Maps:     map[string]*ebpf.MapSpec{m.Name: m},
		Programs: map[string]*ebpf.ProgramSpec{locker.Name: locker},
	})
	for range 2 {
		_, _, err := coll.Programs["lock"].Test(make([]byte, 14))
		if err == nil || !strings.Contains(err.Error(), "bpf_spin_unlock is missing") {
			t.Errorf("a run that ends with a lock: %v", err)
		}
	}
}
