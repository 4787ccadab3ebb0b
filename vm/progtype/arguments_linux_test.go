package progtype_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/internal/oracle"
	"github.com/skep-ebpf/skep/vm/interp"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// TestArgumentAccess holds accesses of arguments against Linux's verifier: of
// numbers, of pointers in an iterator's context, and of what lies behind them.
func TestArgumentAccess(t *testing.T) {
	testenv.Kernel(t)
	s := oracle.State(t)
	for _, c := range []struct {
		attach ebpf.AttachType
		to     string
		words  int
		ret    int32
		// numbers are the words that are none of the kernel's pointers: of others only
		// its types tell that no part of them may be loaded.
		numbers []int
	}{
		{ebpf.AttachTraceFEntry, "bpf_fentry_test1", 1, 0, []int{0}},
		{ebpf.AttachTraceFEntry, "bpf_fentry_test3", 3, 0, []int{0, 1, 2}},
		{ebpf.AttachTraceFExit, "bpf_fentry_test2", 3, 0, []int{0, 1, 2}},
		{ebpf.AttachModifyReturn, "bpf_modify_return_test", 3, 5, []int{0, 2}},
		{ebpf.AttachTraceIter, "task", 2, 1, nil},
		{ebpf.AttachTraceRawTp, "sched_process_exec", 3, 7, []int{1}},
	} {
		typ, err := progtype.ForAttach(ebpf.Tracing, c.attach)
		if err != nil {
			t.Fatal(err)
		}
		run := func(access asm.Instruction) (kernel, machine error) {
			insns := asm.Instructions{access, asm.Mov.Imm(asm.R0, c.ret), asm.Return()}
			p, kernel := ebpf.NewProgramWithOptions(&ebpf.ProgramSpec{
				Type: ebpf.Tracing, AttachType: c.attach, AttachTo: c.to, Instructions: insns, License: "GPL",
			}, ebpf.ProgramOptions{LogDisabled: true})
			if kernel == nil {
				p.Close()
			}
			code, err := interp.Compile(&interp.Input{Name: "test", Type: typ, Insns: decode(t, insns)})
			if err != nil {
				return kernel, err
			}
			if err := typ.Setup(s, &progtype.Input{Ctx: make([]byte, 8*c.words)}); err != nil {
				t.Fatal(err)
			}
			s.Budget = 100
			_, err = code.Run(s, interp.Checked)
			return kernel, err
		}
		if kernel, _ := run(asm.Mov.Imm(asm.R1, 0)); kernel != nil {
			t.Logf("%s: the kernel does not take any program: %v", c.to, kernel)
			continue
		}
		for off := range 8*c.words + 8 {
			for size, width := range sizes {
				if size < 8 && off < 8*c.words && !slices.Contains(c.numbers, off/8) {
					continue
				}
				if testing.Short() && (off+size)%8 > 1 {
					continue // where nothing is fast
				}
				if kernel, err := run(asm.LoadMem(asm.R2, asm.R1, int16(off), width)); (kernel == nil) != (err == nil) {
					t.Errorf("%s: load of %d bytes at %d: %v; the kernel: %v", c.to, size, off, err, kernel)
				}
			}
		}
		if kernel, err := run(asm.StoreMem(asm.R1, 0, asm.R10, asm.Word)); kernel == nil || err == nil {
			t.Errorf("%s: store: %v; the kernel: %v", c.to, err, kernel)
		}
	}
}

func decode(t *testing.T, insns asm.Instructions) []isa.Instruction {
	t.Helper()
	var all bytes.Buffer
	if err := insns.Marshal(&all, binary.LittleEndian); err != nil {
		t.Fatal(err)
	}
	raw, err := isa.Decode(all.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
