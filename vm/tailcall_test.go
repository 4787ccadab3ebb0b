package vm_test

import (
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/internal/kernelrun"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/program"
)

// deepSpec is a program whose function tail-calls the program itself: each time
// it runs one frame deeper, and returns how often it ran.
func deepSpec() *ebpf.CollectionSpec {
	return &ebpf.CollectionSpec{
		Maps: map[string]*ebpf.MapSpec{"self": {
			Name: "self", Type: ebpf.ProgramArray, KeySize: 4, ValueSize: 4, MaxEntries: 1,
			Contents: []ebpf.MapKV{{Key: uint32(0), Value: "deep"}},
		}},
		Programs: map[string]*ebpf.ProgramSpec{"deep": {
			Name: "deep", Type: ebpf.SchedCLS, License: "GPL",
			Instructions: asm.Instructions{
				asm.Call.Label("again").WithSymbol("deep"),
				asm.Add.Imm(asm.R0, 1),
				asm.Return(),
				asm.LoadMapPtr(asm.R2, 0).WithReference("self").WithSymbol("again"),
				asm.Mov.Imm(asm.R3, 0),
				asm.FnTailCall.Call(),
				asm.Mov.Imm(asm.R0, 0),
				asm.Return(),
			},
		}},
	}
}

// A tail call from a function replaces the function's frame alone, so frames may
// be as many as tail calls.
func TestTailCallsFromFunctions(t *testing.T) {
	coll := load(t, deepSpec())
	const want = 34 // the first time, and 33 tail calls
	if got := run(t, coll.Programs["deep"]); got != want {
		t.Errorf("ran %d times, want %d", got, want)
	}

	testenv.Kernel(t)
	spec := deepSpec()
	image, err := program.Link(spec, "deep", nil)
	if err != nil {
		t.Fatal(err)
	}
	self, err := kernelrun.NewMap(spec.Maps["self"])
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	kernel, err := kernelrun.Load(ebpf.SchedCLS, image.Insns, []*kernelrun.Map{self}, true)
	if err != nil {
		t.Fatal(err)
	}
	defer kernel.Close()
	if err := self.SetProgram(make([]byte, 4), kernel); err != nil {
		t.Fatal(err)
	}
	out, err := kernel.Run(&kernelrun.RunInput{Data: make([]byte, 64)})
	if err != nil || out.Ret != want {
		t.Errorf("in the kernel it ran %v times, %v", out, err)
	}
}
