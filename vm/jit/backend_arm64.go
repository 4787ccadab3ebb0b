package jit

import (
	"golang.org/x/sys/cpu"

	"github.com/skep-ebpf/skep/vm/jit/arm64"
	"github.com/skep-ebpf/skep/vm/jit/ir"
)

var target = arm64.Target

func emit(p *ir.Program) (*ir.Code, error) {
	return arm64.Emit(p, arm64.Options{LSE: cpu.ARM64.HasATOMICS})
}
