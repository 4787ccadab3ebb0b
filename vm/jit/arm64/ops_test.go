package arm64

import (
	"encoding/binary"
	"runtime"
	"testing"

	"golang.org/x/sys/cpu"

	"github.com/skep-ebpf/skep/vm/jit/abi"
	"github.com/skep-ebpf/skep/vm/jit/internal/optest"
	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// backend gives what optest wants to know.
func backend() *optest.Backend {
	emit := func(opts Options) func(*ir.Program) (*ir.Code, error) {
		return func(p *ir.Program) (*ir.Code, error) { return new(Emitter).Emit(p, opts) }
	}
	b := &optest.Backend{
		Target:     &Target,
		Trampoline: trampoline(),
		Emit: map[string]func(*ir.Program) (*ir.Code, error){
			"exclusive": emit(Options{}),
			"padded":    emit(Options{Seed: 7}),
		},
	}
	if runtime.GOARCH != "arm64" || cpu.ARM64.HasATOMICS {
		b.Emit["lse"] = emit(Options{LSE: true})
	}
	return b
}

// trampoline does what package jit's does, and leaves junk in all registers that
// functions use. Go passes the context's address in x0, and that of a stub in x1.
func trampoline() (text []byte) {
	var e Emitter
	e.emit(addImm.sized(8).d(2).n(sp))
	e.contextWord(0, 2, 0, abi.OffGoSP)
	e.contextPair(storePair, fp, lr, 0, abi.OffGoBP)
	e.move(8, context, 0)
	e.move(8, scratch1, 1)
	for r := range reg(27) {
		if Target.All.Has(r) && r != context && r != scratch1 {
			e.emit(movn.sized(8).d(r).imm16(0xbad, int(r%4)))
		}
	}
	e.emit(br.n(scratch1))
	for _, f := range e.code {
		text = binary.LittleEndian.AppendUint32(text, uint32(f))
	}
	return text
}

func TestSameCode(t *testing.T) { backend().SameCode(t, "exclusive", "padded") }
func TestLines(t *testing.T)    { backend().Lines(t) }
func TestRefuses(t *testing.T)  { backend().Refuses(t) }

func BenchmarkEmit(b *testing.B) { backend().Benchmark(b, "exclusive") }

func TestOperations(t *testing.T) {
	needsArm64(t)
	count := 100
	if testing.Short() {
		count = 30
	}
	backend().Operations(t, count)
}

// TestLong has functions that are too long for one form of jumps after the other.
func TestLong(t *testing.T) {
	needsArm64(t)
	backend().Long(t, 1<<13-10, 1<<13-1, 1<<13+1, 1<<18-10, 1<<18)
}

func TestJumps(t *testing.T) {
	needsArm64(t)
	backend().Jumps(t)
}

func TestBecome(t *testing.T) {
	needsArm64(t)
	backend().Become(t)
}

func TestTrap(t *testing.T) {
	needsArm64(t)
	backend().Trap(t)
}

func needsArm64(t *testing.T) {
	t.Helper()
	if runtime.GOARCH != "arm64" {
		t.Skipf("this is %s: make arm64 runs these tests in an emulator", runtime.GOARCH)
	}
}

// TestMazes has arithmetic and jumps as they come.
func TestMazes(t *testing.T) {
	needsArm64(t)
	backend().Jumps(t)
}
