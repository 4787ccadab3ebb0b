//go:build !amd64 && !arm64

package jit

import "github.com/skep-ebpf/skep/vm/jit/ir"

var target ir.Target

func emit(*ir.Program) (*ir.Code, error) {
	panic("unreachable: there is no machine code for this architecture")
}
