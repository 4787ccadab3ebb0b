package interp

import (
	"testing"

	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/internal/conformance"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// plain is a program type whose context is memory.
var plain = &progtype.Type{Name: "plain", CtxName: "memory"}

var modes = map[string]Mode{"fast": Fast, "checked": Checked}

func newState(t testing.TB) *exec.State {
	t.Helper()
	s, err := exec.NewState(0)
	if err != nil {
		t.Fatal(err)
	}
	s.Budget = 1 << 30
	return s
}

func TestConformance(t *testing.T) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			s := newState(t)
			conformance.Test(t, func(c *conformance.Case) (uint64, error) {
				in := &Input{Name: c.Name, Type: plain, Insns: c.Program()}
				in.Facts = prove(in)
				p, err := Compile(in)
				if err != nil {
					return 0, err
				}
				copy(s.SetPlainCtx(len(c.Mem)), c.Mem)
				return p.Run(s, mode)
			})
		})
	}
}

func TestConformanceRefused(t *testing.T) {
	conformance.TestRefused(t, func(c *conformance.Case) error {
		_, err := Compile(&Input{Name: c.Name, Type: plain, Insns: c.Program()})
		return err
	})
}
