package amd64

import (
	"testing"
	"unsafe"

	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/jit/abi"
	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// native runs the code that Emit made. It is the least that takes the place of
// package jit, which cannot be used here.
type native struct {
	t     testing.TB
	code  *mem.Code
	out   *ir.Code
	ctx   *abi.Context
	top   uintptr // of the native stack
	enter func(ctx, pc uintptr)
}

// trampoline is code that Go can call: it keeps what Go's functions must keep, and
// has the leave stub return to its end.
var trampoline = []byte{
	0x55,       // push rbp
	0x41, 0x56, // push r14
	0x48, 0x8d, 0x0d, 13 + 30, 0, 0, 0, // lea rcx, [rip + 43]
	0x51,             // push rcx
	0x48, 0x89, 0x20, // mov [rax], rsp
	0x48, 0x89, 0x68, 0x08, // mov [rax + 8], rbp
	0x49, 0x89, 0xc3, // mov r11, rax
	0x48, 0x89, 0xc1, // mov rcx, rax, and so on: nothing else may be relied on
	0x48, 0x89, 0xc2,
	0x48, 0x89, 0xc5,
	0x48, 0x89, 0xc6,
	0x48, 0x89, 0xc7,
	0x49, 0x89, 0xc0,
	0x49, 0x89, 0xc1,
	0x49, 0x89, 0xc4,
	0x49, 0x89, 0xc5,
	0x49, 0x89, 0xc6,
	0xff, 0xe3, // jmp rbx
	0x41, 0x5e, // pop r14
	0x5d, // pop rbp
	0xc3, // ret
}

// front is where the code begins, behind the trampoline.
const front = 64

func newNative(t testing.TB, p *ir.Program, opts Options) *native {
	t.Helper()
	out, err := Emit(p, opts)
	if err != nil {
		t.Fatal(err)
	}
	code, err := mem.NewCode(append(append(make([]byte, 0, front), trampoline...)[:front], out.Bytes...))
	if err != nil {
		t.Skipf("the system does not let this process execute what it wrote: %v", err)
	}
	stack, err := mem.New(2 * abi.StackBytes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := code.Free(); err != nil {
			t.Error(err)
		}
		if err := stack.Free(); err != nil {
			t.Error(err)
		}
	})
	base := (stack.Addr() + abi.StackBytes - 1) &^ (abi.StackBytes - 1)
	n := &native{t: t, code: code, out: out, ctx: (*abi.Context)(mem.At(base)), top: base + abi.StackBytes - 16}
	// A function value is a pointer to the address of its code.
	addr := code.Addr()
	value := &addr
	n.enter = *(*func(ctx, pc uintptr))(unsafe.Pointer(&value))
	return n
}

// addr is the address of a place in the code.
func (n *native) addr(off uint32) uintptr {
	return n.code.Addr() + front + uintptr(off)
}

// run enters a function and gives R0. Exits are for serve, which sets what native
// code gets back and reports whether to go on.
func (n *native) run(fn int, serve func(*abi.Context) bool, args ...uint64) uint64 {
	c := n.ctx
	copy(c.Args[:], args)
	c.SP, c.Func = n.top, n.addr(n.out.Entries[fn])
	pc := n.addr(n.out.Enter)
	for {
		n.enter(uintptr(unsafe.Pointer(c)), pc)
		if c.Exit == abi.ExitDone {
			if c.SP != n.top {
				n.t.Fatalf("function %d leaves the stack pointer %d bytes off", fn, int(n.top)-int(c.SP))
			}
			return c.R0
		}
		if serve == nil || !serve(c) {
			n.t.Fatalf("function %d leaves with exit %d, argument %#x", fn, c.Exit, c.Arg)
		}
		pc = n.addr(n.out.Resume)
	}
}
