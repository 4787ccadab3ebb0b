package vm

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/testenv"
)

// Arguments of calls in TestMapHelpersAsInKernel.
type (
	mapNamed  string // a map
	funcNamed string // a function of the program
	onStack   int16  // an address in the frame
	theCtx    struct{}
	register  asm.Register
)

// callOf calls a helper; R6 is the context.
func callOf(fn asm.BuiltinFunc, args ...any) (insns asm.Instructions) {
	for i, a := range args {
		r := asm.R1 + asm.Register(i)
		switch a := a.(type) {
		case mapNamed:
			insns = append(insns, asm.LoadMapPtr(r, 0).WithReference(string(a)))
		case funcNamed:
			insns = append(insns, asm.Instruction{
				OpCode: asm.LoadImmOp(asm.DWord), Dst: r, Src: asm.PseudoFunc, Constant: -1,
			}.WithReference(string(a)))
		case onStack:
			insns = append(insns, asm.Mov.Reg(r, asm.RFP), asm.Add.Imm(r, int32(a)))
		case theCtx:
			insns = append(insns, asm.Mov.Reg(r, asm.R6))
		case register:
			insns = append(insns, asm.Mov.Reg(r, asm.Register(a)))
		case int:
			insns = append(insns, asm.LoadImm(r, int64(a), asm.DWord))
		}
	}
	return append(insns, fn.Call())
}

func long(name string) *btf.Int { return &btf.Int{Name: name, Size: 8} }

// helperMaps are the maps that the calls use. Those with keys have 1 to 4.
func helperMaps() map[string]*ebpf.MapSpec {
	var four []ebpf.MapKV
	for i := range uint32(4) {
		four = append(four, ebpf.MapKV{Key: i, Value: uint64(10 * i)})
	}
	all := map[string]*ebpf.MapSpec{
		"array": {Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 4, Contents: four},
		"hash":  {Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 4, Contents: four},
		"lru":   {Type: ebpf.LRUHash, KeySize: 4, ValueSize: 8, MaxEntries: 4, Contents: four},
		"ring":  {Type: ebpf.RingBuf, MaxEntries: 4096},
		"user":  {Type: ebpf.UserRingbuf, MaxEntries: 4096},
		"perf":  {Type: ebpf.PerfEventArray, KeySize: 4, ValueSize: 4, MaxEntries: 2},
		"task": {Type: ebpf.TaskStorage, KeySize: 4, ValueSize: 8, Flags: 1, // BPF_F_NO_PREALLOC
			Key: &btf.Int{Name: "int", Size: 4}, Value: long("long")},
		"result": {Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1},
	}
	for name, m := range all {
		m.Name = name
	}
	return all
}

// body wraps calls: their results fold into R7, which the program returns with
// its upper half, and so does the count of calls that the frame has at -16.
func body(calls ...asm.Instructions) asm.Instructions {
	insns := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1), asm.Mov.Imm(asm.R7, 0),
		asm.Mov.Imm(asm.R0, 1), asm.StoreMem(asm.RFP, -8, asm.R0, asm.DWord),
		asm.StoreImm(asm.RFP, -20, 0, asm.Word),
	}
	// The count begins with 0 from a map, as Linux's verifier would follow a constant
	// through all of a loop.
	insns = append(insns, callOf(asm.FnMapLookupElem, mapNamed("result"), onStack(-20))...)
	insns = append(insns,
		asm.JEq.Imm(asm.R0, 0, "no result"),
		asm.LoadMem(asm.R0, asm.R0, 0, asm.DWord),
		asm.StoreMem(asm.RFP, -16, asm.R0, asm.DWord).WithSymbol("no result"))
	for _, c := range calls {
		insns = append(insns, c...)
		insns = append(insns, asm.Mul.Imm(asm.R7, 31), asm.Add.Reg(asm.R7, asm.R0))
	}
	insns = append(insns,
		asm.LoadMem(asm.R0, asm.RFP, -16, asm.DWord),
		asm.Mul.Imm(asm.R7, 31), asm.Add.Reg(asm.R7, asm.R0),
		asm.Mov.Reg(asm.R0, asm.R7), asm.RSh.Imm(asm.R0, 32), asm.Xor.Reg(asm.R0, asm.R7),
		asm.Return())
	insns[0] = btf.WithFuncMetadata(insns[0].WithSymbol("main"),
		&btf.Func{Name: "main", Type: tickFunc.Type, Linkage: btf.GlobalFunc})
	return insns
}

// counter is a function that counts in the word that an argument points to, and
// asks to go on until it was called n times.
func counter(name string, arg asm.Register, n int32) asm.Instructions {
	return asm.Instructions{
		btf.WithFuncMetadata(asm.LoadMem(asm.R3, arg, 0, asm.DWord).WithSymbol(name),
			&btf.Func{Name: name, Type: tickFunc.Type}),
		asm.Add.Imm(asm.R3, 1),
		asm.StoreMem(arg, 0, asm.R3, asm.DWord),
		asm.Mov.Imm(asm.R0, 0),
		asm.JLT.Imm(asm.R3, n, name+" goes on"),
		asm.Mov.Imm(asm.R0, 1),
		asm.Return().WithSymbol(name + " goes on"),
	}
}

// TestMapHelpersAsInKernel makes the same calls in Linux and here, with good and
// wrong arguments.
func TestMapHelpersAsInKernel(t *testing.T) {
	testenv.KernelFrom(t, 6, 18, "packet programs had no storage of tasks")
	tests := map[string]asm.Instructions{}
	for _, flags := range []int{0, 1, 2, 3, 4, 1 << 33} {
		for _, size := range []int{1, 8} {
			tests[fmt.Sprintf("ringbuf_output %d %#x", size, flags)] = body(
				callOf(asm.FnRingbufOutput, mapNamed("ring"), onStack(-8), size, flags),
				callOf(asm.FnRingbufQuery, mapNamed("ring"), 0))
		}
		tests[fmt.Sprintf("ringbuf_query %#x", flags)] = body(callOf(asm.FnRingbufQuery, mapNamed("ring"), flags))
		// Without a reader there is no event.
		for _, high := range []int{0, 1 << 32, 65 << 32, 1 << 53} {
			tests[fmt.Sprintf("perf_event_output %#x", flags|high)] = body(
				callOf(asm.FnPerfEventOutput, theCtx{}, mapNamed("perf"), flags|high, onStack(-8), 8))
		}
		for _, n := range []int{0, 1, 3, 4, 9, 1 << 23, 1<<23 + 1, 1 << 32} {
			tests[fmt.Sprintf("loop %d %#x", n, flags)] = append(body(
				callOf(asm.FnLoop, n, funcNamed("each"), onStack(-16), flags)), counter("each", asm.R2, 4)...)
		}
		for _, m := range []mapNamed{"array", "hash", "lru"} {
			for _, n := range []int32{1, 3, 100} {
				tests[fmt.Sprintf("for_each %s %d %#x", m, n, flags)] = append(body(
					callOf(asm.FnForEachMapElem, m, funcNamed("each"), onStack(-16), flags)), counter("each", asm.R4, n)...)
			}
		}
		tests[fmt.Sprintf("user_ringbuf_drain %#x", flags)] = append(body(
			callOf(asm.FnUserRingbufDrain, mapNamed("user"), funcNamed("each"), onStack(-16), flags)),
			counter("each", asm.R2, 4)...)
		for _, value := range []any{0, onStack(-8)} {
			get := func(flags int) asm.Instructions {
				task := append(callOf(asm.FnGetCurrentTaskBtf), asm.Mov.Reg(asm.R8, asm.R0))
				key := fmt.Sprintf("no value %v %d", value, flags)
				return append(append(task, callOf(asm.FnTaskStorageGet, mapNamed("task"), register(asm.R8), value, flags)...),
					asm.JEq.Imm(asm.R0, 0, key),
					asm.LoadMem(asm.R1, asm.R0, 0, asm.DWord),
					asm.Add.Imm(asm.R1, 5),
					asm.StoreMem(asm.R0, 0, asm.R1, asm.DWord),
					asm.Mov.Reg(asm.R0, asm.R1),
					asm.Mov.Reg(asm.R1, asm.R0).WithSymbol(key))
			}
			drop := append(callOf(asm.FnGetCurrentTaskBtf), callOf(asm.FnTaskStorageDelete, mapNamed("task"), register(asm.R0))...)
			tests[fmt.Sprintf("task_storage %v %#x", value, flags)] = body(get(flags))
			tests[fmt.Sprintf("task_storage made first %v %#x", value, flags)] = body(get(1), drop, drop)
		}
	}
	for name, insns := range tests {
		for _, typ := range []ebpf.ProgramType{ebpf.SchedCLS, ebpf.XDP} {
			spec := func() *ebpf.CollectionSpec {
				return &ebpf.CollectionSpec{
					Maps:     helperMaps(),
					Programs: map[string]*ebpf.ProgramSpec{"main": {Name: "main", Type: typ, License: "GPL", Instructions: insns}},
				}
			}
			linux, err := ebpf.NewCollection(spec())
			if err != nil {
				t.Fatalf("%s: %+v", name, err)
			}
			machine, err := NewCollection(spec())
			if err != nil {
				linux.Close()
				t.Fatalf("%s: %v", name, err)
			}
			want, _, err := linux.Programs["main"].Test(bytes.Repeat([]byte{1}, 64))
			if err != nil {
				t.Fatal(err)
			}
			got, _, err := machine.Programs["main"].Test(bytes.Repeat([]byte{1}, 64))
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if got != want {
				t.Errorf("%s in %v: %#x, in the kernel %#x", name, typ, got, want)
			}
			linux.Close()
			machine.Close()
		}
	}
}
