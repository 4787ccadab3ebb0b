package machine_test

import (
	"path/filepath"
	"testing"

	"github.com/skep-ebpf/skep/machine"
	"github.com/skep-ebpf/skep/program"
)

// TestBind: programs that ask the driver about packets are loaded for a device, which no
// object can say.
func TestBind(t *testing.T) {
	p, err := program.Open(filepath.Join("..", "vm", "testdata", "kfunc", "rxmeta.bpf.o"))
	if err != nil {
		t.Fatal(err)
	}
	coll, err := machine.User(&machine.UserOptions{}).Load(p, &machine.Options{Programs: []string{"first", "last"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := coll.Close(); err != nil {
		t.Error(err)
	}
	if p.Spec.Programs["first"].Flags != 0 {
		t.Error("the object's own program has other flags now")
	}
}
