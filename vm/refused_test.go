package vm_test

import (
	"strings"
	"testing"

	"github.com/skep-ebpf/skep/vm/helper"
)

// TestRefusedKfuncs: what is refused is not there as well, and the reason is a clause.
func TestRefusedKfuncs(t *testing.T) {
	for name, why := range helper.RefusedKfuncs {
		if helper.Kfunc(name) != nil {
			t.Errorf("%s is refused, and the machine has it", name)
		}
		if !strings.HasPrefix(why, "needs ") && !strings.HasPrefix(why, "gives ") {
			t.Errorf("%s: it %s", name, why)
		}
	}
}
