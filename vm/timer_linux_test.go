package vm

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/vm/exec"
)

// What the program of TestTimersAsInKernel does with the timer of key 1.
const (
	timerInit = iota
	timerSetCallback
	timerStart
	timerCancel
	timerOps // and what users do with the value:
	timerUpdate
	timerDelete
)

// operator does one operation, which the map "op" holds with two arguments, and
// gives its result. The timer's function counts.
func operator() *ebpf.ProgramSpec {
	timer := func(op int32) asm.Instructions {
		return asm.Instructions{
			asm.JNE.Imm(asm.R7, op, "not "+string(rune('0'+op))),
			asm.Mov.Reg(asm.R1, asm.R6), asm.Add.Imm(asm.R1, 8),
		}
	}
	insns := asm.Instructions{
		asm.StoreImm(asm.RFP, -4, 0, asm.Word),
		asm.LoadMapPtr(asm.R1, 0).WithReference("op"),
		asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "exit"),
		asm.LoadMem(asm.R7, asm.R0, 0, asm.DWord),
		asm.LoadMem(asm.R8, asm.R0, 8, asm.DWord),
		asm.LoadMem(asm.R9, asm.R0, 16, asm.DWord),
	}
	insns = append(insns, valueOf("timed")...)
	insns = append(insns, timer(timerInit)...)
	insns = append(insns,
		asm.LoadMapPtr(asm.R2, 0).WithReference("timed"),
		asm.Mov.Reg(asm.R3, asm.R8),
		asm.FnTimerInit.Call(),
		asm.Ja.Label("exit"),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("not 0"))
	insns = append(insns, timer(timerSetCallback)...)
	insns = append(insns,
		asm.Instruction{OpCode: asm.LoadImmOp(asm.DWord), Dst: asm.R2, Src: asm.PseudoFunc, Constant: -1}.WithReference("tick"),
		asm.FnTimerSetCallback.Call(),
		asm.Ja.Label("exit"),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("not 1"))
	insns = append(insns, timer(timerStart)...)
	insns = append(insns,
		asm.Mov.Reg(asm.R2, asm.R8), asm.Mov.Reg(asm.R3, asm.R9),
		asm.FnTimerStart.Call(),
		asm.Ja.Label("exit"),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("not 2"))
	insns = append(insns, timer(timerCancel)...)
	insns = append(insns,
		asm.FnTimerCancel.Call(),
		asm.Ja.Label("exit"),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("not 3"),
		asm.Return().WithSymbol("exit"),

		btf.WithFuncMetadata(asm.LoadMem(asm.R0, asm.R3, 0, asm.DWord).WithSymbol("tick"), tickFunc),
		asm.Add.Imm(asm.R0, 1),
		asm.StoreMem(asm.R3, 0, asm.R0, asm.DWord),
		asm.Mov.Imm(asm.R0, 0),
		asm.Return())
	entry := &btf.Func{Name: "operate", Type: tickFunc.Type, Linkage: btf.GlobalFunc}
	insns[0] = btf.WithFuncMetadata(insns[0].WithSymbol("operate"), entry)
	return &ebpf.ProgramSpec{Name: "operate", Type: ebpf.SchedCLS, License: "GPL", Instructions: insns}
}

// TestTimersAsInKernel does random operations with a timer in Linux and here:
// calls of programs, updates and deletions of its value by users, and waiting.
func TestTimersAsInKernel(t *testing.T) {
	testenv.KernelFrom(t, 6, 12, "there were no timers, or other ones")
	spec := func(typ ebpf.MapType) *ebpf.CollectionSpec {
		return &ebpf.CollectionSpec{
			Maps: map[string]*ebpf.MapSpec{
				"timed": timed(typ),
				"op":    {Name: "op", Type: ebpf.Array, KeySize: 4, ValueSize: 24, MaxEntries: 1},
			},
			Programs: map[string]*ebpf.ProgramSpec{"operate": operator()},
		}
	}
	r := rand.New(rand.NewPCG(testenv.Seed(t), 0))
	for _, typ := range []ebpf.MapType{ebpf.Array, ebpf.Hash, ebpf.LRUHash} {
		linux, err := ebpf.NewCollection(spec(typ))
		if err != nil {
			t.Fatalf("%+v", err)
		}
		defer linux.Close()
		clock := time.Hour
		machine, err := NewCollectionWithOptions(spec(typ), CollectionOptions{Programs: ProgramOptions{
			Env: &exec.Env{Now: func() time.Duration { return clock }},
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer machine.Close()
		const absent = 1 << 63 // instead of a count
		count := func(lookup func(any) ([]byte, error)) uint64 {
			v, err := lookup(uint32(1))
			if err != nil {
				t.Fatal(err)
			}
			if v == nil {
				return absent
			}
			return binary.NativeEndian.Uint64(v)
		}
		fresh := make([]byte, 32)
		var history [][3]uint64
		fired := uint64(0)
		for range 400 {
			op := [3]uint64{uint64(r.IntN(timerOps)), 0, 0}
			switch there := count(linux.Maps["timed"].LookupBytes) != absent; {
			case !there && r.IntN(2) == 0, r.IntN(40) == 0:
				op[0] = timerUpdate
			case r.IntN(80) == 0:
				op[0] = timerDelete
			}
			wait := false
			switch op[0] {
			case timerInit:
				op[1] = []uint64{1, 1, 1, 0, 7, 2, 11, 16, 1 << 32}[r.IntN(9)]
			case timerStart:
				// At once, or never.
				op[1] = []uint64{0, 1, 1 << 60, 1 << 61}[r.IntN(4)]
				op[2] = []uint64{0, 0, 0, 1, 2, 3, 4, 1 << 40}[r.IntN(8)]
				wait = op[1] <= 1
			}
			history = append(history, op)
			var want, got uint32
			switch op[0] {
			case timerUpdate:
				wantErr, gotErr := linux.Maps["timed"].Put(uint32(1), fresh), machine.Maps["timed"].Put(uint32(1), fresh)
				if (wantErr == nil) != (gotErr == nil) {
					t.Fatalf("update: %v, in the kernel %v", gotErr, wantErr)
				}
			case timerDelete:
				wantErr, gotErr := linux.Maps["timed"].Delete(uint32(1)), machine.Maps["timed"].Delete(uint32(1))
				if (wantErr == nil) != (gotErr == nil) {
					t.Fatalf("delete: %v, in the kernel %v", gotErr, wantErr)
				}
			default:
				do := func(put func(k, v any) error, test func([]byte) (uint32, []byte, error)) uint32 {
					t.Helper()
					if err := put(uint32(0), op[:]); err != nil {
						t.Fatal(err)
					}
					ret, _, err := test(make([]byte, 64))
					if err != nil {
						t.Fatal(err)
					}
					return ret
				}
				want = do(linux.Maps["op"].Put, linux.Programs["operate"].Test)
				for range 1000 { // Linux may not sleep for memory here, and so may have none at the moment
					if int32(want) != -int32(errno.ENOMEM) {
						break
					}
					time.Sleep(time.Millisecond)
					want = do(linux.Maps["op"].Put, linux.Programs["operate"].Test)
				}
				got = do(machine.Maps["op"].Put, machine.Programs["operate"].Test)
			}
			if wait {
				clock += time.Millisecond
				if _, err := machine.RunTimers(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			wantCount, gotCount := count(linux.Maps["timed"].LookupBytes), count(machine.Maps["timed"].LookupBytes)
			for patience := time.Now().Add(2 * time.Second); wantCount != gotCount && time.Now().Before(patience); {
				time.Sleep(100 * time.Microsecond) // Linux's timer is about to fire
				wantCount = count(linux.Maps["timed"].LookupBytes)
			}
			if got != want || gotCount != wantCount {
				t.Fatalf("%v, %v:\ngives %d, fired %d times; in the kernel %d, %d times",
					typ, history, int32(got), gotCount, int32(want), wantCount)
			}
			if wantCount != absent {
				fired = max(fired, wantCount)
			}
		}
		if fired == 0 {
			t.Errorf("%v: no timer fired", typ)
		}
	}
}
