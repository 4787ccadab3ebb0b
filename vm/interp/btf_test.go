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

// TestTypedMemory follows pointers from a context through kernel objects, to
// where there is nothing.
func TestTypedMemory(t *testing.T) {
	block, err := mem.New(4096)
	if err != nil {
		t.Fatal(err)
	}
	defer block.Free()
	b, le := block.Bytes(), binary.LittleEndian
	first, second := uint64(block.Addr()), uint64(block.Addr())+256
	le.PutUint64(b[0:], second)      // a pointer
	le.PutUint64(b[8:], 0)           // NULL
	le.PutUint64(b[16:], 0xdead0000) // to nothing that is there
	le.PutUint32(b[24:], 0xfffffffe)
	le.PutUint32(b[256+4:], 99)
	objects, err := exec.NewObjects([]exec.Object{
		{Addr: uintptr(second), Size: 64, Type: "second"}, {Addr: uintptr(first), Size: 64, Type: "first"},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		prog  ebpf.ProgramType
		insns asm.Instructions // R1 is the first argument, the pointer to first
		want  uint64
		fault string
	}{
		{name: "field", insns: asm.Instructions{asm.LoadMem(asm.R0, asm.R1, 24, asm.Word)}, want: 0xfffffffe},
		{name: "pointer", insns: asm.Instructions{
			asm.LoadMem(asm.R2, asm.R1, 0, asm.DWord), asm.LoadMem(asm.R0, asm.R2, 4, asm.Word)}, want: 99},
		{name: "spilled", insns: asm.Instructions{
			asm.StoreMem(asm.R10, -8, asm.R1, asm.DWord), asm.LoadMem(asm.R1, asm.R10, -8, asm.DWord),
			asm.LoadMem(asm.R2, asm.R1, 0, asm.DWord), asm.LoadMem(asm.R0, asm.R2, 4, asm.Word)}, want: 99},
		{name: "null", insns: asm.Instructions{
			asm.LoadMem(asm.R2, asm.R1, 8, asm.DWord), asm.LoadMem(asm.R2, asm.R2, 100, asm.DWord), asm.LoadMem(asm.R0, asm.R2, 4, asm.Word)}},
		{name: "nothing there", insns: asm.Instructions{
			asm.LoadMem(asm.R2, asm.R1, 16, asm.DWord), asm.LoadMem(asm.R0, asm.R2, 0, asm.DWord)}},
		{name: "behind", insns: asm.Instructions{asm.LoadMem(asm.R0, asm.R1, 60, asm.DWord)}},
		{name: "index", want: 99, insns: asm.Instructions{
			asm.LoadMem(asm.R2, asm.R1, 0, asm.DWord), asm.Mov.Imm(asm.R3, 4), asm.Add.Reg(asm.R2, asm.R3),
			asm.LoadMem(asm.R0, asm.R2, 0, asm.Word)}},
		{name: "store", insns: asm.Instructions{asm.StoreImm(asm.R1, 0, 1, asm.Word), asm.Mov.Imm(asm.R0, 0)},
			fault: "R1 points into first, memory of the kernel, which programs of type tp_btf may not write"},
		{name: "struct_ops stores", prog: ebpf.StructOps, insns: asm.Instructions{
			asm.StoreImm(asm.R1, 40, 5, asm.Word), asm.LoadMem(asm.R0, asm.R1, 40, asm.Word)}, want: 5},
		{name: "struct_ops stores behind", prog: ebpf.StructOps, insns: asm.Instructions{
			asm.StoreImm(asm.R1, 64, 5, asm.Word), asm.Mov.Imm(asm.R0, 0)},
			fault: "R1 may reach the 64 bytes of first, the access wants bytes 64..68"},
		{name: "context behind", insns: asm.Instructions{asm.LoadMem(asm.R0, asm.R6, 16, asm.DWord)},
			fault: "R6 points to the context, which has 2 words of 8 bytes: the access wants bytes 16..24"},
		{name: "context between", insns: asm.Instructions{asm.LoadMem(asm.R0, asm.R6, 4, asm.Word)},
			fault: "R6 points to the context, whose words are 8 bytes: the access begins at byte 4"},
		{name: "context store", insns: asm.Instructions{asm.StoreImm(asm.R6, 0, 0, asm.Word), asm.Mov.Imm(asm.R0, 0)},
			fault: "R6 points to the context, which programs of type tp_btf may not write"},
	} {
		t.Run(c.name, func(t *testing.T) {
			prog, attach := ebpf.Tracing, ebpf.AttachTraceRawTp
			if c.prog != 0 {
				prog, attach = c.prog, 0
			}
			typ, err := progtype.ForAttach(prog, attach)
			if err != nil {
				t.Fatal(err)
			}
			insns := append(append(asm.Instructions{
				asm.Mov.Reg(asm.R6, asm.R1), asm.LoadMem(asm.R1, asm.R6, 0, asm.DWord),
			}, c.insns...), asm.Return())
			s, err := exec.NewState(0)
			if err != nil {
				t.Fatal(err)
			}
			s.Env.Objects = objects
			if err := typ.Setup(s, &progtype.Input{Ctx: le.AppendUint64(le.AppendUint64(nil, first), 7)}); err != nil {
				t.Fatal(err)
			}
			s.Budget = 1000
			got, err := compile(t, typ, insns, nil).Run(s, interp.Checked)
			if c.fault != "" {
				if err == nil || !strings.Contains(err.Error(), c.fault) {
					t.Errorf("%v, want %s", err, c.fault)
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("%#x, %v; want %#x", got, err, c.want)
			}
			got, err = compile(t, typ, insns, kernelFacts).Run(s, interp.Fast)
			if err != nil || got != c.want {
				t.Errorf("fast: %#x, %v; want %#x", got, err, c.want)
			}
		})
	}
}

// TestReturnedRange ends runs whose result is none that Linux allows.
func TestReturnedRange(t *testing.T) {
	for _, c := range []struct {
		prog   ebpf.ProgramType
		attach ebpf.AttachType
		ret    int32
		fault  string
	}{
		{ebpf.CGroupSKB, ebpf.AttachCGroupInetEgress, 3, ""},
		{ebpf.CGroupSockAddr, ebpf.AttachCGroupInet4Connect, 2, "returns 2, and Linux lets programs of type cgroup/sock_addr return 0 to 1"},
		{ebpf.CGroupSockAddr, ebpf.AttachCGroupInet4Bind, 2, ""},
		{ebpf.CGroupSockAddr, ebpf.AttachCGroupUDP4Recvmsg, 0, "return only 1"},
		{ebpf.LSM, ebpf.AttachLSMMac, -13, ""},
		{ebpf.LSM, ebpf.AttachLSMMac, 1, "returns 1, and Linux lets programs of type lsm return -4095 to 0"},
		{ebpf.Tracing, ebpf.AttachTraceFEntry, 1, "return only 0"},
	} {
		typ, err := progtype.ForAttach(c.prog, c.attach)
		if err != nil {
			t.Fatal(err)
		}
		p := compile(t, typ, asm.Instructions{asm.Mov.Imm(asm.R0, c.ret), asm.Return()}, nil)
		s, err := exec.NewState(0)
		if err != nil {
			t.Fatal(err)
		}
		in := progtype.Input{}
		if typ.Packet {
			in.Data = make([]byte, 64)
		}
		if err := typ.Setup(s, &in); err != nil {
			t.Fatal(err)
		}
		s.Budget = 1000
		_, err = p.Run(s, interp.Checked)
		if (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s returning %d: %v, want %s", typ.Name, c.ret, err, c.fault)
		}
	}
}

// TestContextSocket reads a context's socket, and not behind it.
func TestContextSocket(t *testing.T) {
	typ, err := progtype.ForAttach(ebpf.CGroupSockAddr, ebpf.AttachCGroupInet4Connect)
	if err != nil {
		t.Fatal(err)
	}
	s, err := exec.NewState(0)
	if err != nil {
		t.Fatal(err)
	}
	ctx := make([]byte, 72)
	ctx[28] = 2 // family
	for off, fault := range map[int16]string{4: "", 80: "may reach 80 bytes"} {
		p := compile(t, typ, asm.Instructions{
			asm.LoadMem(asm.R1, asm.R1, 64, asm.DWord), asm.LoadMem(asm.R0, asm.R1, off, asm.Word), asm.RSh.Imm(asm.R0, 1), asm.Return(),
		}, nil)
		if err := typ.Setup(s, &progtype.Input{Ctx: ctx}); err != nil {
			t.Fatal(err)
		}
		s.Budget = 1000
		switch ret, err := p.Run(s, interp.Checked); {
		case fault != "":
			if err == nil || !strings.Contains(err.Error(), fault) {
				t.Errorf("loads at %d: %v", off, err)
			}
		case err != nil || ret != 1:
			t.Errorf("family %d, %v", ret, err)
		}
	}
}

// compile makes a program of a type. facts say what each access is of; nil: it is run
// checked.
func compile(t *testing.T, typ *progtype.Type, insns asm.Instructions, facts func(isa.Instruction) verifier.Memory) *interp.Program {
	t.Helper()
	in := &interp.Input{Name: "test", Type: typ, Insns: raw(t, insns)}
	if facts != nil {
		for _, ins := range in.Insns {
			in.Facts = append(in.Facts, verifier.Fact{Reached: true, Jumps: true, Passes: true, Memory: facts(ins)})
		}
	}
	p, err := interp.Compile(in)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// kernelFacts are those of a program that has its context in R6 and the kernel's
// pointers in R1 to R5.
func kernelFacts(ins isa.Instruction) verifier.Memory {
	switch base := ins.Dst; ins.Class() {
	case isa.ClassLDX:
		base = ins.Src
		fallthrough
	case isa.ClassST, isa.ClassSTX:
		switch base {
		case isa.R6:
			return verifier.MemContext
		case isa.R10:
			return verifier.MemPlain
		}
		return verifier.MemKernel
	}
	return verifier.MemNone
}

func raw(t *testing.T, insns asm.Instructions) []isa.Instruction {
	t.Helper()
	var b strings.Builder
	if err := insns.Marshal(&b, binary.LittleEndian); err != nil {
		t.Fatal(err)
	}
	all, err := isa.Decode([]byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	return all
}
