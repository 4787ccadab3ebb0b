package kernel

import (
	"slices"
	"strings"
	"testing"

	"github.com/skep-ebpf/skep/internal/testenv"
)

// Who has all capabilities is told of program types, also where Linux forbids some of them.
func TestProbeProgramTypes(t *testing.T) {
	testenv.Kernel(t)
	if missing := lacks(); missing != 0 {
		t.Skipf("this process has no %s", missing)
	}
	all := Probe()
	i := slices.IndexFunc(all, func(f Feature) bool { return f.Name == "program types" })
	if i < 0 || !all[i].Has || !strings.Contains(all[i].Says, " of 32") {
		t.Errorf("program types: %v", all)
	}
}
