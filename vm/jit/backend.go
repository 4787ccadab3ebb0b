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
	// emit makes code with instructions that do nothing at places that seed
	// decides; 0: without.
	emit func(w *workspace, p *ir.Program, seed uint64) (*ir.Code, error)
}

// backends are those that there are, by GOARCH.
var backends = map[string]backend{
	"amd64": {&amd64.Target, func(w *workspace, p *ir.Program, seed uint64) (*ir.Code, error) {
		return w.amd64.Emit(p, amd64.Options{BMI2: cpu.X86.HasBMI2, Seed: seed})
	}},
	"arm64": {&arm64.Target, func(w *workspace, p *ir.Program, seed uint64) (*ir.Code, error) {
		return w.arm64.Emit(p, arm64.Options{LSE: cpu.ARM64.HasATOMICS, Seed: seed})
	}},
}
