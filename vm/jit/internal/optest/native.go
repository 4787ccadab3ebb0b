package optest

import (
	"testing"
	"unsafe"

	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/jit/abi"
	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// Backend is what is tested.
type Backend struct {
	Target *ir.Target
	// Trampoline is machine code that takes the place of package jit's. It is called
	// as Go's functions are, with the context's address and that of a stub. What it
	// leaves in registers that the stubs do not know had better be junk.
	Trampoline []byte
	// Emit are the ways to make code, by name.
	Emit map[string]func(*ir.Program) (*ir.Code, error)
}

// native is a program that can run.
type native struct {
	t     testing.TB
	text  *mem.Code
	code  *ir.Code
	front uintptr // bytes before the program's code
	ctx   *abi.Context
	top   uintptr // of the native stack
	enter func(ctx, pc uintptr)
}

// native makes a program's code executable.
func (b *Backend) native(t testing.TB, code *ir.Code) *native {
	t.Helper()
	n := &native{t: t, code: code, front: uintptr(len(b.Trampoline)+15) &^ 15}
	text := make([]byte, n.front, int(n.front)+len(code.Bytes))
	copy(text, b.Trampoline)
	var err error
	if n.text, err = mem.NewCode(append(text, code.Bytes...)); err != nil {
		t.Skipf("the system does not let this process execute what it wrote: %v", err)
	}
	stack, err := mem.New(2 * abi.StackBytes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.text.Free(); err != nil {
			t.Error(err)
		}
		if err := stack.Free(); err != nil {
			t.Error(err)
		}
	})
	base := (stack.Addr() + abi.StackBytes - 1) &^ (abi.StackBytes - 1)
	n.ctx, n.top = (*abi.Context)(mem.At(base)), base+abi.StackBytes-16
	// A function value is a pointer to the address of its code.
	addr := n.text.Addr()
	value := &addr
	n.enter = *(*func(ctx, pc uintptr))(unsafe.Pointer(&value))
	return n
}

// addr is the address of a place in the code.
func (n *native) addr(off uint32) uintptr { return n.text.Addr() + n.front + uintptr(off) }

// function gives the code of one.
func (n *native) function(fn int) []byte {
	end := uint32(len(n.code.Bytes))
	if fn+1 < len(n.code.Entries) {
		end = n.code.Entries[fn+1]
	}
	return n.code.Bytes[n.code.Entries[fn]:end]
}

// run enters a function with the context's arguments and budget, and gives R0. Exits
// are for serve.
func (n *native) run(fn int, serve func(*abi.Context)) uint64 {
	c := n.ctx
	c.SP, c.Func = n.top, n.addr(n.code.Entries[fn])
	pc := n.addr(n.code.Enter)
	for {
		n.resume(pc)
		if c.Exit == abi.ExitDone {
			break
		}
		if used := n.top - c.SP; used > uintptr(n.code.Stacks[fn])+16 {
			n.t.Fatalf("function %d takes %d bytes of the stack, more than the %d that it says", fn, used, n.code.Stacks[fn])
		}
		serve(c)
		pc = n.addr(n.code.Resume)
	}
	return c.R0
}

// resume jumps to a stub, and comes back when native code leaves.
func (n *native) resume(stub uintptr) { n.enter(uintptr(unsafe.Pointer(n.ctx)), stub) }
