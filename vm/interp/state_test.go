package interp

import (
	"testing"

	"github.com/skep-ebpf/skep/vm/exec"
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
