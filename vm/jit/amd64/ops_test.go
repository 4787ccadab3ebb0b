package amd64

import (
	"runtime"
	"testing"

	"github.com/skep-ebpf/skep/vm/jit/abi"
	"github.com/skep-ebpf/skep/vm/jit/internal/optest"
	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// backend gives what optest wants to know.
func backend() *optest.Backend {
	emit := func(opts Options) func(*ir.Program) (*ir.Code, error) {
		return func(p *ir.Program) (*ir.Code, error) { return new(Emitter).Emit(p, opts) }
	}
	return &optest.Backend{
		Target:     &Target,
		Trampoline: trampoline(),
		Emit: map[string]func(*ir.Program) (*ir.Code, error){
			"bmi2":   emit(Options{BMI2: true}),
			"plain":  emit(Options{}),
			"padded": emit(Options{BMI2: true, Seed: 7}),
		},
	}
}

// trampoline does what package jit's does, keeps what Go's functions keep, and leaves
// junk in all registers. Go passes the context's address in RAX, and that of a stub in
// RBX.
func trampoline() []byte {
	var e Emitter
	e.begin(0)
	back := e.label()
	e.push(rbp)
	e.push(r14)
	e.point(pointAddress, back, 0)
	e.push(r9) // for the return of the stub that leaves
	e.rm(opStore, 8, rsp, ctxAt(rax, abi.OffGoSP))
	e.rm(opStore, 8, rbp, ctxAt(rax, abi.OffGoBP))
	e.mov(8, context, rax)
	for r := rax; r <= r15; r++ {
		if Target.All.Has(r) && r != rbx && r != context {
			e.constant(r, 0xbad0+int64(r))
		}
	}
	e.rr(opGroup5, 4, dJmp, rbx)
	e.place(back)
	e.pop(r14)
	e.pop(rbp)
	e.put(opRet, 1)
	e.finish()
	return e.Bytes
}

func TestOperations(t *testing.T) {
	count := 100
	if testing.Short() {
		count = 30
	}
	needsAmd64(t)
	backend().Operations(t, count)
}

// TestLong has functions with jumps over all of it.
func TestLong(t *testing.T) {
	needsAmd64(t)
	backend().Long(t, 1, 20, 40, 50, 100, 1000)
}

// TestJumps has jumps over as many bytes as a short one can, or one more.
func TestJumps(t *testing.T) {
	needsAmd64(t)
	backend().Jumps(t)
}

func TestBecome(t *testing.T) {
	needsAmd64(t)
	backend().Become(t)
}

func TestTrap(t *testing.T) {
	needsAmd64(t)
	backend().Trap(t)
}

func needsAmd64(t *testing.T) {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skipf("this is %s", runtime.GOARCH)
	}
}
