package jit

import (
	"golang.org/x/sys/cpu"

	"github.com/skep-ebpf/skep/vm/jit/amd64"
	"github.com/skep-ebpf/skep/vm/jit/arm64"
	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// backend makes code for an architecture, on any: only running it takes the processor.
type backend struct {
	target *ir.Target
	emit   func(*ir.Program) (*ir.Code, error)
}

// backends are those that there are, by GOARCH.
var backends = map[string]backend{
	"amd64": {&amd64.Target, func(p *ir.Program) (*ir.Code, error) {
		return amd64.Emit(p, amd64.Options{BMI2: cpu.X86.HasBMI2})
	}},
	"arm64": {&arm64.Target, func(p *ir.Program) (*ir.Code, error) {
		return arm64.Emit(p, arm64.Options{LSE: cpu.ARM64.HasATOMICS})
	}},
}
