//go:build !amd64 && !arm64

package jit

import "github.com/skep-ebpf/skep/vm/jit/abi"

const hasBackend = false

func enter(*abi.Context, uintptr) {
	panic("unreachable: there is no machine code for this architecture")
}
