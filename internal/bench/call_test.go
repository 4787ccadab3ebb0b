package bench

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	kringbuf "github.com/cilium/ebpf/ringbuf"

	"github.com/skep-ebpf/skep/vm/ringbuf"
)

// helperCalls are calls of helpers, of which a program makes many.
var helperCalls = []struct {
	name string
	body asm.Instructions
}{
	{"ktime_get_ns", asm.Instructions{asm.FnKtimeGetNs.Call()}},
	{"get_prandom_u32", asm.Instructions{asm.FnGetPrandomU32.Call()}},
	{"get_smp_processor_id", asm.Instructions{asm.FnGetSmpProcessorId.Call()}},
	{"csum_diff", asm.Instructions{
		asm.Mov.Imm(asm.R1, 0),
		asm.Mov.Imm(asm.R2, 0),
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, valueAt),
		asm.Mov.Imm(asm.R4, 16),
		asm.Mov.Imm(asm.R5, 0),
		asm.FnCsumDiff.Call(),
	}},
	{"ringbuf_reserve_and_submit", asm.Instructions{
		asm.LoadMapPtr(asm.R1, 0).WithReference("ring"),
		asm.Mov.Imm(asm.R2, 16),
		asm.Mov.Imm(asm.R3, 0),
		asm.FnRingbufReserve.Call(),
		asm.JNE.Imm(asm.R0, 0, "reserved"),
		asm.Mov.Imm(asm.R0, 1),
		asm.Return(),
		asm.StoreMem(asm.R0, 0, failed, asm.DWord).WithSymbol("reserved"),
		asm.StoreMem(asm.R0, 8, left, asm.DWord),
		asm.Mov.Reg(asm.R1, asm.R0),
		asm.Mov.Imm(asm.R2, 1), // BPF_RB_NO_WAKEUP
		asm.FnRingbufSubmit.Call(),
	}},
}

// BenchmarkCall is a call: of a helper, of a callback by one, of another program.
func BenchmarkCall(b *testing.B) {
	for _, h := range helperCalls {
		b.Run(h.name, func(b *testing.B) {
			spec := &ebpf.CollectionSpec{
				Maps:     map[string]*ebpf.MapSpec{"ring": {Name: "ring", Type: ebpf.RingBuf, MaxEntries: 1 << 25}},
				Programs: map[string]*ebpf.ProgramSpec{"call": loop("call", h.body)},
			}
			all := loadAll(b, spec)
			ws := workers(all, "call", packet)
			for i := range ws {
				ws[i].run = emptied(b, all[i].Collection, ws[i].run)
			}
			agree(b, ws)
			race(b, ws, map[string]float64{"call": calls})
		})
	}
	for _, c := range []struct {
		name  string
		spec  *ebpf.CollectionSpec
		calls float64
	}{
		{"loop_callback", callbackSpec(), calls},
		{"tail_call", tailCallSpec(), tailCalls},
	} {
		b.Run(c.name, func(b *testing.B) {
			ws := workers(loadAll(b, c.spec), "call", packet)
			agree(b, ws)
			race(b, ws, map[string]float64{"call": c.calls})
		})
	}
}

// emptied reads the ring buffer after each batch, so that it never fills.
func emptied(b *testing.B, c Collection, run Runner) Runner {
	b.Helper()
	var read func() error
	switch c := c.(type) {
	case inMachine:
		r, err := ringbuf.NewReader(c.Maps["ring"])
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { r.Close() })
		r.SetDeadline(time.Now())
		var rec ringbuf.Record
		read = func() error { return r.ReadInto(&rec) }
	case inLinux:
		r, err := kringbuf.NewReader(c.Maps["ring"])
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { r.Close() })
		r.SetDeadline(time.Now())
		var rec kringbuf.Record
		read = func() error { return r.ReadInto(&rec) }
	}
	return func(n uint32) (Result, error) {
		result, err := run(n)
		for err == nil {
			err = read()
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = nil
		}
		return result, err
	}
}

// callbackSpec is a program that has bpf_loop call a function.
func callbackSpec() *ebpf.CollectionSpec {
	integer := &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
	fn := func(name string, params ...btf.FuncParam) *btf.Func {
		return &btf.Func{Name: name, Linkage: btf.StaticFunc, Type: &btf.FuncProto{Return: integer, Params: params}}
	}
	arg := func(name string) btf.FuncParam { return btf.FuncParam{Name: name, Type: integer} }
	insns := asm.Instructions{
		btf.WithFuncMetadata(asm.Mov.Imm(asm.R1, calls), fn("call", arg("ctx"))).WithSymbol("call"),
		asm.Instruction{OpCode: asm.LoadImmOp(asm.DWord), Dst: asm.R2, Src: asm.PseudoFunc, Constant: -1}.WithReference("callback"),
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, -8),
		asm.StoreMem(asm.R3, 0, asm.R1, asm.DWord),
		asm.Mov.Imm(asm.R4, 0),
		asm.FnLoop.Call(),
		asm.LoadMem(asm.R0, asm.RFP, -8, asm.DWord),
		asm.Return(),

		btf.WithFuncMetadata(asm.LoadMem(asm.R0, asm.R2, 0, asm.DWord), fn("callback", arg("i"), arg("sum"))).WithSymbol("callback"),
		asm.Add.Reg(asm.R0, asm.R1),
		asm.StoreMem(asm.R2, 0, asm.R0, asm.DWord),
		asm.Mov.Imm(asm.R0, 0),
		asm.Return(),
	}
	return &ebpf.CollectionSpec{Programs: map[string]*ebpf.ProgramSpec{
		"call": {Name: "call", Type: ebpf.SchedCLS, License: "GPL", Instructions: insns},
	}}
}

// tailCalls is how many tail calls one run may make.
const tailCalls = 33

// tailCallSpec is a program that calls itself as often as it may.
func tailCallSpec() *ebpf.CollectionSpec {
	return &ebpf.CollectionSpec{
		Maps: map[string]*ebpf.MapSpec{"programs": {
			Name: "programs", Type: ebpf.ProgramArray, KeySize: 4, ValueSize: 4, MaxEntries: 1,
			Contents: []ebpf.MapKV{{Key: uint32(0), Value: "call"}},
		}},
		Programs: map[string]*ebpf.ProgramSpec{"call": {
			Name: "call", Type: ebpf.SchedCLS, License: "GPL",
			Instructions: asm.Instructions{
				asm.LoadMapPtr(asm.R2, 0).WithReference("programs"),
				asm.Mov.Imm(asm.R3, 0),
				asm.FnTailCall.Call(),
				asm.Mov.Imm(asm.R0, 7),
				asm.Return(),
			},
		}},
	}
}
