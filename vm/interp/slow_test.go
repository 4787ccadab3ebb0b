package interp_test

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/verifier"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/interp"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// TestSlow does each kind of access where memory is and where none is, against the
// same access in place.
func TestSlow(t *testing.T) {
	block, err := mem.New(4096)
	if err != nil {
		t.Fatal(err)
	}
	defer block.Free()
	objects, err := exec.NewObjects([]exec.Object{{Addr: block.Addr(), Size: 16, Type: "object"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	typ, err := progtype.ForAttach(ebpf.Tracing, ebpf.AttachTraceRawTp)
	if err != nil {
		t.Fatal(err)
	}
	const before, value = 0x80818283_84858687, 0x11223344_c5c6c7c8
	run := func(ins isa.Instruction, kind verifier.Memory, addr, r0 uint64) (regs [3]uint64, after uint64, err error) {
		s, err := exec.NewState(0)
		if err != nil {
			t.Fatal(err)
		}
		s.Env.Objects = objects
		in := &interp.Input{Name: "test", Type: typ, Insns: []isa.Instruction{
			{Op: isa.ClassALU64 | isa.AluMOV, Dst: isa.R0}, {Op: isa.ClassALU64 | isa.AluMOV, Dst: isa.R2}, ins,
			{Op: isa.ClassJMP | isa.JmpEXIT},
		}, Facts: []verifier.Fact{{Reached: true}, {Reached: true}, {Reached: true, Memory: kind}, {Reached: true}}}
		p, err := interp.Compile(in)
		if err != nil {
			t.Fatal(err)
		}
		binary.NativeEndian.PutUint64(block.Bytes(), before)
		regs = [3]uint64{r0, addr, value} // R0, the address in R1, the source in R2
		src := regs[ins.Src]
		v, err := p.Slow(s, 2, addr, src, r0)
		if r, ok := ins.Writes(); ok {
			regs[r] = v
		}
		return regs, binary.NativeEndian.Uint64(block.Bytes()), err
	}
	for _, tt := range []struct {
		name  string
		ins   isa.Instruction
		r0    uint64
		regs  [3]uint64 // R0 to R2; R1 0: as before
		after uint64
	}{
		{"load", isa.Instruction{Op: isa.ClassLDX | isa.ModeMEM | isa.SizeH, Dst: 0, Src: 1}, 1, [3]uint64{0x8687, 0, value}, before},
		{"signed load", isa.Instruction{Op: isa.ClassLDX | isa.ModeMEMSX | isa.SizeB, Dst: 0, Src: 1}, 1, [3]uint64{0xffffffff_ffffff87, 0, value}, before},
		{"store", isa.Instruction{Op: isa.ClassSTX | isa.ModeMEM | isa.SizeW, Dst: 1, Src: 2}, 1, [3]uint64{1, 0, value}, 0x80818283_c5c6c7c8},
		{"store of a constant", isa.Instruction{Op: isa.ClassST | isa.ModeMEM | isa.SizeB, Dst: 1, Off: 1, Imm: 7}, 1, [3]uint64{1, 0, value}, 0x80818283_84850787},
		{"add", atomic(isa.SizeW, isa.AtomicADD), 1, [3]uint64{1, 0, value}, 0x80818283_4a4c4e4f},
		{"fetch and add", atomic(isa.SizeDW, isa.AtomicADD|isa.AtomicFetch), 1, [3]uint64{1, 0, before}, 0x91a3b5c8_4a4c4e4f},
		{"fetch and or", atomic(isa.SizeW, isa.AtomicOR|isa.AtomicFetch), 1, [3]uint64{1, 0, 0x84858687}, 0x80818283_c5c7c7cf},
		{"and", atomic(isa.SizeDW, isa.AtomicAND), 1, [3]uint64{1, 0, value}, 0x00000200_84848680},
		{"xor", atomic(isa.SizeDW, isa.AtomicXOR), 1, [3]uint64{1, 0, value}, 0x91a3b1c7_4143414f},
		{"exchange", atomic(isa.SizeW, isa.AtomicXCHG), 1, [3]uint64{1, 0, 0x84858687}, 0x80818283_c5c6c7c8},
		{"compare and exchange", atomic(isa.SizeDW, isa.AtomicCMPXCHG), before, [3]uint64{before, 0, value}, value},
		{"compare and do not exchange", atomic(isa.SizeW, isa.AtomicCMPXCHG), 5, [3]uint64{0x84858687, 0, value}, before},
		{"load-acquire", isa.Instruction{Op: isa.ClassSTX | isa.ModeATOMIC | isa.SizeB, Dst: 0, Src: 1, Off: 2, Imm: isa.AtomicLoadAcq}, 1, [3]uint64{0x85, 0, value}, before},
		{"store-release", atomic(isa.SizeH, isa.AtomicStoreRl), 1, [3]uint64{1, 0, value}, 0x80818283_8485c7c8},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, kind := range []verifier.Memory{verifier.MemKernel, verifier.MemMixed} {
				addr := uint64(block.Addr())
				tt.regs[1] = addr
				regs, after, err := run(tt.ins, kind, addr, tt.r0)
				if err != nil || regs != tt.regs || after != tt.after {
					t.Errorf("registers %#x, memory %#x, error %v; want %#x, %#x", regs, after, err, tt.regs, tt.after)
				}
			}
			regs, after, err := run(tt.ins, verifier.MemKernel, 1<<40, tt.r0)
			switch loads := tt.ins.Class() == isa.ClassLDX || tt.ins.Imm == isa.AtomicLoadAcq; {
			case loads && (err != nil || regs[0] != 0):
				t.Errorf("a load of nothing gives %#x, error %v", regs[0], err)
			case !loads && (err == nil || !strings.Contains(err.Error(), "R1 is 0x10000000000, where the machine has no memory to write") || after != before):
				t.Errorf("a store to nothing leaves %#x, error %v", after, err)
			}
		})
	}
}

// atomic is an operation on what R1 points to, with R2.
func atomic(size uint8, operation int32) isa.Instruction {
	return isa.Instruction{Op: isa.ClassSTX | isa.ModeATOMIC | size, Dst: 1, Src: 2, Imm: operation}
}

// TestGuardedCall: a helper does not read through a kernel pointer that leads nowhere.
func TestGuardedCall(t *testing.T) {
	typ, err := progtype.ForAttach(ebpf.Tracing, ebpf.AttachTraceIter)
	if err != nil {
		t.Fatal(err)
	}
	block, err := mem.New(4096)
	if err != nil {
		t.Fatal(err)
	}
	defer block.Free()
	copy(block.Bytes(), "something")
	objects, err := exec.NewObjects([]exec.Object{{Addr: block.Addr(), Size: 9, Type: "object"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	in := &interp.Input{Name: "test", Type: typ, Insns: raw(t, asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, 0, asm.DWord), asm.LoadMem(asm.R3, asm.R1, 8, asm.DWord), asm.Mov.Imm(asm.R1, 0),
		asm.FnSeqWrite.Call(), asm.Mov.Imm(asm.R0, 0), asm.Return(),
	})}
	for range in.Insns {
		in.Facts = append(in.Facts, verifier.Fact{Reached: true})
	}
	in.Facts[3].Kernel = 1<<isa.R1 | 1<<isa.R2
	p, err := interp.Compile(in)
	if err != nil {
		t.Fatal(err)
	}
	s, err := exec.NewState(0)
	if err != nil {
		t.Fatal(err)
	}
	s.Env.Objects = objects
	for _, tt := range []struct {
		addr, size uint64
		wrote      string
		fault      string
	}{
		{uint64(block.Addr()), 4, "some", ""},
		{uint64(block.Addr()) + 4, 5, "thing", ""},
		{0, 0, "", ""},
		{uint64(block.Addr()) + 4, 6, "", "R2 (argument 2 of bpf_seq_write) is"},
		{0, 8, "", "R2 (argument 2 of bpf_seq_write) is 0x0, where the machine has no memory of 8 bytes"},
		{1 << 50, 8, "", "where the machine has no memory of 8 bytes"},
	} {
		ctx := binary.NativeEndian.AppendUint64(binary.NativeEndian.AppendUint64(nil, tt.addr), tt.size)
		if err := typ.Setup(s, &progtype.Input{Ctx: ctx}); err != nil {
			t.Fatal(err)
		}
		s.Budget, s.Seq = 1000, s.Seq[:0]
		_, err := p.Run(s, interp.Fast)
		if (err == nil) != (tt.fault == "") || err != nil && !strings.Contains(err.Error(), tt.fault) || string(s.Seq) != tt.wrote {
			t.Errorf("%d bytes at %#x: wrote %q, error %v", tt.size, tt.addr, s.Seq, err)
		}
	}
}
