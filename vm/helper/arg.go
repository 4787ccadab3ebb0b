package helper

import (
	"unsafe"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/maps"
)

// view is n bytes at an address that an argument holds.
func view(addr, n uint64) []byte {
	if n == 0 {
		return nil
	}
	return mem.View(uintptr(addr), int(n))
}

// at views an argument as a pointer to a T.
func at[T any](addr uint64) *T { return (*T)(mem.At(uintptr(addr))) }

// mapOf is the map that an argument names; nil where it was closed.
func mapOf(arg uint64) maps.Map { return maps.Get(maps.Handle(arg)) }

// status is what a helper returns for err: 0 or a negated error number.
func status(err error) uint64 {
	switch e := err.(type) {
	case nil:
		return 0
	case errno.Errno:
		return e.Ret()
	}
	return errno.EINVAL.Ret()
}

// addressOf is the address of b, for arguments of callbacks.
func addressOf(b []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }

// noop is a helper that has nothing to say in this machine.
func noop(*exec.State, uint64, uint64, uint64, uint64, uint64) uint64 { return 0 }
