package helper_test

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/vm/engine"
	"github.com/skep-ebpf/skep/vm/internal/oracle"
)

// TestPushEncapAsInKernel puts headers before packets as they come in. (For those
// that go out Linux wants a route, which a test run has not.)
func TestPushEncapAsInKernel(t *testing.T) {
	testenv.KernelFrom(t, 6, 12, "test runs took packets and contexts otherwise")
	const gsoSize, protocol = 176, 16
	g := &gen{Rand: rand.New(rand.NewPCG(testenv.Seed(t), 0))}
	s := oracle.State(t)
	for range 400 {
		header := make([]byte, 120)
		for i := range header {
			header[i] = byte(g.Uint32())
		}
		header[0] = byte(g.pick(0x45, 0x45, 0x46, 0x60, 0x4f, 0x50, 0))
		header[6], header[9] = byte(g.pick(17, 6, 47)), byte(g.pick(17, 6, 47))
		if g.IntN(2) == 0 {
			header[10], header[11] = 0, 0
		}
		size := g.pick(20, 24, 28, 40, 48, 60, 19, 1, 116)
		mode := g.pick(2, 2, 2, 3)
		call := func() asm.Instructions {
			return calling(asm.FnLwtPushEncap, ctxArg{}, mode, stackArg(-120), size)
		}
		insns := join(onStack(-120, header), call())
		if g.IntN(3) == 0 {
			insns = join(insns, call())
		}
		run := oracle.Run{Type: ebpf.LWTIn, Data: g.packet(), Ctx: make([]byte, 192), Insns: join(insns, asm.Instructions{
			asm.Mov.Reg(asm.R8, asm.R0),
			asm.LoadMem(asm.R1, asm.R6, protocol, asm.Word),
			asm.Mul.Imm(asm.R8, 31), asm.Add.Reg(asm.R8, asm.R1),
			asm.LoadMem(asm.R1, asm.R6, 0, asm.Word),
			asm.Mul.Imm(asm.R8, 31), asm.Add.Reg(asm.R8, asm.R1),
			asm.Mov.Reg(asm.R0, asm.R8), asm.Return(),
		})}
		if g.IntN(8) == 0 {
			binary.LittleEndian.PutUint32(run.Ctx[gsoSize:], 100)
		}
		want, err := run.Kernel(t)
		if err != nil {
			t.Fatalf("%+v", err)
		}
		for _, m := range engine.Modes() {
			if got := run.Machine(t, s, m); !got.Equal(want) {
				t.Fatalf("mode %d, size %d, header %x, packet %x\n%v\nthe kernel:\n%v", mode, size, header, run.Data, got, want)
			}
		}
	}
}
