package interp

import (
	"testing"

	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// plain is a program type whose context is memory.
var plain = &progtype.Type{Name: "plain", CtxName: "memory"}

var modes = map[string]Mode{"fast": Fast, "checked": Checked}

// testBudget ends what would run for ever, in instructions, also soon under the race
// detector.
const testBudget = 1 << 26

func newState(t testing.TB) *exec.State {
	t.Helper()
	s, err := exec.NewState(0)
	if err != nil {
		t.Fatal(err)
	}
	s.Budget = testBudget
	return s
}
