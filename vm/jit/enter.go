//go:build amd64 || arm64

//lint:file-ignore U1000 only assembly uses the constants

package jit

import "github.com/skep-ebpf/skep/vm/jit/abi"

const hasBackend = true

// For the trampoline.
const (
	offGoSP = abi.OffGoSP
	offGoBP = abi.OffGoBP
	offGoLR = abi.OffGoLR
)

// enter saves the goroutine's stack in c and jumps to a stub. It returns when
// native code leaves. c is not marked noescape: it lies outside the heap.
func enter(c *abi.Context, pc uintptr)
