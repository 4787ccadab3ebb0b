package ringbuf_test

import (
	"errors"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/ringbuf"
)

// drainer gives a program that takes records out and sums their first 8 bytes into
// an array, until one is 0.
func drainer(t *testing.T) *vm.Collection {
	t.Helper()
	take := btf.WithFuncMetadata(asm.Mov.Reg(asm.R6, asm.R2).WithSymbol("take"), &btf.Func{
		Name: "take", Type: &btf.FuncProto{Return: &btf.Int{Name: "long", Size: 8, Encoding: btf.Signed}},
	})
	coll, err := vm.NewCollection(&ebpf.CollectionSpec{
		Maps: map[string]*ebpf.MapSpec{"ring": {Name: "ring", Type: ebpf.UserRingbuf, MaxEntries: 4096}},
		Programs: map[string]*ebpf.ProgramSpec{"drain": {Name: "drain", Type: ebpf.SchedCLS, License: "GPL", Instructions: asm.Instructions{
			asm.Mov.Imm(asm.R1, 0),
			asm.StoreMem(asm.RFP, -8, asm.R1, asm.DWord),
			asm.LoadMapPtr(asm.R1, 0).WithReference("ring"),
			asm.Instruction{OpCode: asm.LoadImmOp(asm.DWord), Dst: asm.R2, Src: asm.PseudoFunc, Constant: -1}.WithReference("take"),
			asm.Mov.Reg(asm.R3, asm.RFP),
			asm.Add.Imm(asm.R3, -8),
			asm.Mov.Imm(asm.R4, 0),
			asm.FnUserRingbufDrain.Call(),
			asm.LSh.Imm(asm.R0, 16),
			asm.LoadMem(asm.R1, asm.RFP, -8, asm.DWord),
			asm.Or.Reg(asm.R0, asm.R1),
			asm.Return(),

			take, // (dynptr, sum)
			asm.Mov.Reg(asm.R3, asm.R1),
			asm.Mov.Reg(asm.R1, asm.RFP),
			asm.Add.Imm(asm.R1, -8),
			asm.Mov.Imm(asm.R2, 8),
			asm.Mov.Imm(asm.R4, 0),
			asm.Mov.Imm(asm.R5, 0),
			asm.FnDynptrRead.Call(),
			asm.LoadMem(asm.R1, asm.RFP, -8, asm.DWord),
			asm.LoadMem(asm.R2, asm.R6, 0, asm.DWord),
			asm.Add.Reg(asm.R2, asm.R1),
			asm.StoreMem(asm.R6, 0, asm.R2, asm.DWord),
			asm.Mov.Imm(asm.R0, 0),
			asm.JNE.Imm(asm.R1, 0, "more"),
			asm.Mov.Imm(asm.R0, 1),
			asm.Return().WithSymbol("more"),
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(coll.Close)
	return coll
}

func TestWriter(t *testing.T) {
	coll := drainer(t)
	w, err := ringbuf.NewWriter(coll.Maps["ring"])
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	send := func(n byte) {
		t.Helper()
		if _, err := w.Write([]byte{n, 0, 0, 0, 0, 0, 0, 0}); err != nil {
			t.Fatal(err)
		}
	}
	drain := func(calls, sum uint32) {
		t.Helper()
		ret, _, err := coll.Programs["drain"].Test(make([]byte, 14))
		if err != nil || ret != calls<<16|sum {
			t.Errorf("%d calls, sum %d: %v; want %d and %d", ret>>16, ret&0xffff, err, calls, sum)
		}
	}
	drain(0, 0)
	send(1)
	send(2)
	dropped, err := w.Reserve(100)
	if err != nil {
		t.Fatal(err)
	}
	send(3)
	drain(2, 3) // what is reserved holds up what is behind it
	w.Discard(dropped)
	drain(1, 3)
	send(4)
	send(0)
	send(5)
	drain(2, 4) // the program stops at 0
	drain(1, 5)

	if err := w.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	for err == nil {
		_, err = w.Write(make([]byte, 1000))
	}
	if !errors.Is(err, errno.ENOSPC) {
		t.Errorf("a full ring: %v", err)
	}
	if _, err := w.Reserve(4096); !errors.Is(err, errno.E2BIG) {
		t.Errorf("a record that never fits: %v", err)
	}
}
