//go:build !linux

package interp

import (
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/isa"
)

func kernelRun(t testing.TB, _ []isa.Instruction, _ ebpf.ProgramType, _ []byte, _ int) float64 {
	t.Skip("there is no Linux kernel here")
	return 0
}
