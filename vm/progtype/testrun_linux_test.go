package progtype_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/skep-ebpf/skep/vm/engine"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/verifier"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/internal/oracle"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// inKernel runs a program in Linux with a context alone.
func inKernel(t *testing.T, prog ebpf.ProgramType, attach ebpf.AttachType, insns asm.Instructions, ctx []byte) (uint32, error) {
	t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: prog, AttachType: attach, Instructions: insns, License: "GPL"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	return p.Run(&ebpf.RunOptions{Context: ctx})
}

// inMachine runs a program in the machine, and gives the whole of R0. facts are for
// programs that the verifier refuses.
func inMachine(t *testing.T, s *exec.State, prog ebpf.ProgramType, insns asm.Instructions, facts []verifier.Fact, ctx []byte) (uint64, error) {
	t.Helper()
	r := oracle.Run{Type: prog, Insns: insns, Ctx: ctx, Facts: facts}
	p, desc, err := r.Compile(t, engine.Auto)
	if err != nil {
		t.Fatal(err)
	}
	if err := desc.Setup(s, &progtype.Input{Ctx: ctx}); err != nil {
		return 0, err
	}
	s.Budget = 1 << 20
	return p.Run(s)
}

// TestSkLookupRun holds contexts of sk_lookup programs against Linux: which are
// taken, and what each field is.
func TestSkLookupRun(t *testing.T) {
	rnd := rand.New(rand.NewPCG(testenv.Seed(t), 0))
	testenv.Kernel(t)
	s := oracle.State(t)
	desc, err := progtype.Get(ebpf.SkLookup)
	if err != nil {
		t.Fatal(err)
	}
	pass := asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Return()}
	families := []uint32{2, 10, 0, 1}
	for range 300 {
		ctx := make([]byte, rnd.IntN(80))
		for i := range ctx {
			if i >= 8 && i < 64 {
				ctx[i] = byte(rnd.Uint32())
			}
		}
		put := func(off int, v uint32) {
			if len(ctx) >= off+4 {
				binary.LittleEndian.PutUint32(ctx[off:], v)
			}
		}
		put(8, families[rnd.IntN(len(families))])
		put(60, rnd.Uint32N(70000))
		if len(ctx) > 0 && rnd.IntN(10) == 0 {
			ctx[rnd.IntN(len(ctx))]++
		}
		_, kernel := inKernel(t, ebpf.SkLookup, ebpf.AttachSkLookup, pass, ctx)
		if _, err := inMachine(t, s, ebpf.SkLookup, pass, nil, ctx); (err == nil) != (kernel == nil) {
			t.Fatalf("context %x: %v; the kernel: %v", ctx, err, kernel)
		}
		if kernel != nil {
			continue
		}
		for _, f := range desc.Fields {
			if f.Kind != progtype.Scalar {
				continue
			}
			load := asm.Instructions{asm.LoadMem(asm.R0, asm.R1, int16(f.Off), sizes[int(f.Size)]), asm.Return()}
			facts := []verifier.Fact{{Reached: true, Memory: verifier.MemContext}, {Reached: true}}
			v, err := inMachine(t, s, ebpf.SkLookup, load, facts, ctx)
			if err != nil {
				t.Fatal(err)
			}
			same, err := inKernel(t, ebpf.SkLookup, ebpf.AttachSkLookup, asm.Instructions{
				load[0],
				asm.LoadImm(asm.R2, int64(v), asm.DWord),
				asm.JEq.Reg(asm.R0, asm.R2, "same"),
				asm.Mov.Imm(asm.R0, 0), asm.Return(),
				asm.Mov.Imm(asm.R0, 1).WithSymbol("same"), asm.Return(),
			}, ctx)
			if err != nil || same != 1 {
				t.Fatalf("context %x: %s is %#x, which it is not in the kernel (%v)", ctx, f.Name, v, err)
			}
		}
	}
}

// TestRawTracepointRun holds arguments of raw tracepoints against Linux.
func TestRawTracepointRun(t *testing.T) {
	rnd := rand.New(rand.NewPCG(testenv.Seed(t), 0))
	testenv.Kernel(t)
	s := oracle.State(t)
	for n := range 14 {
		ctx := make([]byte, 8*n)
		for i := range ctx {
			ctx[i] = byte(rnd.Uint32())
		}
		insns := asm.Instructions{asm.Mov.Imm(asm.R0, 0)}
		for i := range min(n, 12) {
			for size, width := range sizes {
				insns = append(insns,
					asm.LoadMem(asm.R2, asm.R1, int16(8*i+rnd.IntN(8/size)*size), width),
					asm.Mul.Imm(asm.R0, 31), asm.Add.Reg(asm.R0, asm.R2))
			}
		}
		insns = append(insns, asm.Return())
		kernel, kernelErr := inKernel(t, ebpf.RawTracepoint, 0, insns, ctx)
		got, err := inMachine(t, s, ebpf.RawTracepoint, insns, nil, ctx)
		if (err == nil) != (kernelErr == nil) || err == nil && uint32(got) != kernel {
			t.Errorf("context %x: %#x, %v; the kernel: %#x, %v", ctx, got, err, kernel, kernelErr)
		}
	}
}

// TestFlowDissectorRun holds flow keys against Linux: what a program is given,
// what it may write, and what becomes of it.
func TestFlowDissectorRun(t *testing.T) {
	rnd := rand.New(rand.NewPCG(testenv.Seed(t), 0))
	testenv.Kernel(t)
	s := oracle.State(t)
	desc, err := progtype.Get(ebpf.FlowDissector)
	if err != nil {
		t.Fatal(err)
	}
	for range 300 {
		data := make([]byte, rnd.IntN(100))
		for i := range data {
			data[i] = byte(rnd.Uint32())
		}
		var ctx []byte
		if rnd.IntN(2) == 0 {
			ctx = make([]byte, rnd.IntN(64))
			if len(ctx) >= 52 {
				ctx[48] = byte(rnd.IntN(10))
			}
			if len(ctx) > 0 && rnd.IntN(8) == 0 {
				ctx[rnd.IntN(len(ctx))]++
			}
		}
		insns := asm.Instructions{asm.LoadMem(asm.R2, asm.R1, 144, asm.DWord), asm.Mov.Imm(asm.R0, 0)}
		for range 4 {
			size := []int{1, 2, 4, 8}[rnd.IntN(4)]
			off := int16(rnd.IntN(56/size) * size)
			insns = append(insns,
				asm.LoadMem(asm.R3, asm.R2, off, sizes[size]),
				asm.Add.Imm(asm.R3, int32(rnd.IntN(100))),
				asm.StoreMem(asm.R2, off, asm.R3, sizes[size]))
		}
		insns = append(insns, asm.LoadMem(asm.R0, asm.R2, 0, asm.Half), asm.Return())

		p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
			Type: ebpf.FlowDissector, AttachType: ebpf.AttachFlowDissector, Instructions: insns, License: "GPL",
		})
		if err != nil {
			t.Fatal(err)
		}
		opts := ebpf.RunOptions{Data: data, DataOut: make([]byte, 4096)}
		if ctx != nil {
			opts.Context = ctx
		}
		kernel, kernelErr := p.Run(&opts)
		p.Close()

		r := oracle.Run{Type: ebpf.FlowDissector, Insns: insns}
		err = desc.Setup(s, &progtype.Input{Data: data, Ctx: ctx})
		if (err == nil) != (kernelErr == nil) {
			t.Fatalf("packet %x, context %x: %v; the kernel: %v", data, ctx, err, kernelErr)
		}
		if err != nil {
			continue
		}
		for _, mode := range engine.Modes() {
			if err := desc.Setup(s, &progtype.Input{Data: data, Ctx: ctx}); err != nil {
				t.Fatal(err)
			}
			code, _, err := r.Compile(t, mode)
			if err != nil {
				t.Fatal(err)
			}
			s.Budget = 1 << 20
			ret, err := code.Run(s)
			if err != nil {
				t.Fatal(err)
			}
			var out progtype.Output
			desc.Finish(s, &out)
			if uint32(ret) != kernel || !bytes.Equal(out.Data, opts.DataOut) {
				t.Fatalf("packet %x, context %x: %#x, keys\n%x; the kernel: %#x\n%x", data, ctx, ret, out.Data, kernel, opts.DataOut)
			}
		}
	}
}
