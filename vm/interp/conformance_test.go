package interp

import (
	"path/filepath"
	"testing"

	"github.com/skep-ebpf/skep/internal/testenv"
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
	cases, errs, err := conformance.Load(filepath.Join(testenv.Data(t, "bpf_conformance"), "tests"))
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range errs {
		t.Errorf("read %s: %v", name, err)
	}
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			s := newState(t)
			for _, c := range cases {
				t.Run(c.Name, func(t *testing.T) {
					p, err := Compile(&Input{Name: c.Name, Type: plain, Insns: c.Program()})
					if err != nil {
						t.Fatal(err)
					}
					copy(s.SetPlainCtx(len(c.Mem)), c.Mem)
					got, err := p.Run(s, mode)
					if err != nil || got != c.Result {
						t.Errorf("R0 = 0x%x, want 0x%x; error %v", got, c.Result, err)
					}
				})
			}
		})
	}
}

func TestConformanceNegative(t *testing.T) {
	cases, errs, err := conformance.Load(filepath.Join(testenv.Data(t, "bpf_conformance"), "negative"))
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range errs {
		t.Logf("%s: %v", name, err)
	}
	for _, c := range cases {
		_, err := Compile(&Input{Name: c.Name, Type: plain, Insns: c.Program()})
		if err == nil {
			t.Errorf("%s is accepted", c.Name)
			continue
		}
		t.Logf("%s: %v", c.Name, err)
	}
	if len(cases)+len(errs) == 0 {
		t.Error("there are no cases")
	}
}
