package vm_test

import (
	"context"
	"errors"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/engine"
	"github.com/skep-ebpf/skep/vm/interp"
)

// TestWritableTracepoint: the buffer of a writable tracepoint is as long as the run says,
// which no verifier knows.
func TestWritableTracepoint(t *testing.T) {
	for _, mode := range engine.Modes() {
		t.Run(mode.String(), func(t *testing.T) {
			p, err := vm.NewProgramWithOptions(&ebpf.ProgramSpec{
				Name: "buffer", Type: ebpf.RawTracepointWritable, License: "GPL",
				Instructions: asm.Instructions{
					asm.LoadMem(asm.R1, asm.R1, 0, asm.DWord),
					asm.LoadMem(asm.R0, asm.R1, 4, asm.Word),
					asm.Add.Imm(asm.R0, 1),
					asm.StoreMem(asm.R1, 4, asm.R0, asm.Word),
					asm.Mov.Imm(asm.R0, 0), asm.Return(),
				},
			}, vm.ProgramOptions{Mode: mode})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			var out vm.Output
			if err := p.Exec(context.Background(), &vm.Input{Data: []byte{1, 2, 3, 4, 5, 6, 7, 8}}, &out); err != nil {
				t.Fatal(err)
			}
			if got := string(out.Data); got != "\x01\x02\x03\x04\x06\x06\x07\x08" {
				t.Errorf("the buffer is %q", got)
			}
			var fault *interp.Fault
			err = p.Exec(context.Background(), &vm.Input{Data: []byte{1, 2, 3, 4, 5, 6, 7}}, &out)
			if !errors.As(err, &fault) || fault.Insn != 1 {
				t.Errorf("error %v, want a fault at instruction 1", err)
			}
		})
	}
}
