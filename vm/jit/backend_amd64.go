package jit

import (
	"golang.org/x/sys/cpu"

	"github.com/skep-ebpf/skep/vm/jit/amd64"
	"github.com/skep-ebpf/skep/vm/jit/ir"
)

var target = amd64.Target

func emit(p *ir.Program) (*ir.Code, error) {
	return amd64.Emit(p, amd64.Options{BMI2: cpu.X86.HasBMI2})
}
