package engine_test

import (
	"testing"

	"github.com/skep-ebpf/skep/vm/engine"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/internal/conformance"
	"github.com/skep-ebpf/skep/vm/internal/proof"
	"github.com/skep-ebpf/skep/vm/interp"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// plain is a program type whose context is memory.
var plain = &progtype.Type{Name: "plain", CtxName: "memory"}

// TestConformance runs the suite's cases in every mode, and as hardened machine code.
// Linux's verifier refuses some of them, for example as they read what nothing wrote;
// these run as they are.
func TestConformance(t *testing.T) {
	all := map[string]engine.Options{}
	for _, mode := range engine.Modes() {
		all[mode.String()] = engine.Options{Mode: mode}
		if mode == engine.JIT {
			all["hardened"] = engine.Options{Mode: mode, Harden: true}
		}
	}
	for name, opts := range all {
		t.Run(name, func(t *testing.T) {
			s, err := exec.NewState(0)
			if err != nil {
				t.Fatal(err)
			}
			s.Budget = 1 << 40
			conformance.Test(t, func(c *conformance.Case) (uint64, error) {
				p, err := compile(c, opts)
				if err != nil {
					return 0, err
				}
				copy(s.SetPlainCtx(len(c.Mem)), c.Mem)
				return p.Run(s)
			})
		})
	}
}

func TestConformanceRefused(t *testing.T) {
	conformance.TestRefused(t, func(c *conformance.Case) error {
		_, err := compile(c, engine.Options{})
		return err
	})
}

func compile(c *conformance.Case, opts engine.Options) (*engine.Program, error) {
	insns := c.Program()
	facts, err := proof.Of(plain, insns, nil)
	if err != nil {
		facts = proof.Plain(insns)
	}
	return engine.Compile(&interp.Input{Name: c.Name, Type: plain, Insns: insns, Facts: facts}, opts)
}
