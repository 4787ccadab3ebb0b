package conformance

import (
	"path/filepath"
	"testing"

	"github.com/skep-ebpf/skep/internal/testenv"
)

// Test runs every case of the suite on an engine and holds its R0, or that it
// fails, against the case.
func Test(t *testing.T, run func(c *Case) (r0 uint64, err error)) {
	cases, errs, err := Load(filepath.Join(testenv.Data(t, "bpf_conformance"), "tests"))
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range errs {
		t.Errorf("read %s: %v", name, err)
	}
	if len(cases) == 0 {
		t.Error("there are no cases")
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			r0, err := run(c)
			switch {
			case c.Fails && err == nil:
				t.Errorf("R0 = 0x%x, want an error: %s", r0, c.Error)
			case !c.Fails && (err != nil || r0 != c.Result):
				t.Errorf("R0 = 0x%x, want 0x%x; error %v", r0, c.Result, err)
			}
		})
	}
}

// TestRefused holds that every negative case of the suite is refused, by its
// assembler or by an engine's load.
func TestRefused(t *testing.T, load func(c *Case) error) {
	cases, errs, err := Load(filepath.Join(testenv.Data(t, "bpf_conformance"), "negative"))
	if err != nil {
		t.Fatal(err)
	}
	if len(cases)+len(errs) == 0 {
		t.Error("there are no cases")
	}
	for _, c := range cases {
		if err := load(c); err == nil {
			t.Errorf("%s is accepted", c.Name)
		}
	}
}
