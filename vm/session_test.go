package vm_test

import (
	"path/filepath"
	"testing"

	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/engine"
	"github.com/skep-ebpf/skep/vm/exec"
)

// TestSession runs a session's program at a function's entry, and then at its return with
// the number that the first run left.
func TestSession(t *testing.T) {
	for _, mode := range engine.Modes() {
		t.Run(mode.String(), func(t *testing.T) {
			p, err := program.Open(filepath.Join("testdata", "kfunc", "session.bpf.o"))
			if err != nil {
				t.Fatal(err)
			}
			coll, err := vm.NewCollectionWithOptions(p.Spec, vm.CollectionOptions{Programs: vm.ProgramOptions{Mode: mode}})
			if err != nil {
				t.Fatal(err)
			}
			defer coll.Close()
			const number = 0x1234567890
			if err := coll.Variables["in"].Set([8]uint64{number}); err != nil {
				t.Fatal(err)
			}
			var entry, end vm.Output
			if err := coll.Programs["both"].Exec(t.Context(), &vm.Input{}, &entry); err != nil {
				t.Fatal(err)
			}
			if err := coll.Programs["both"].Exec(t.Context(), &vm.Input{Trace: exec.Trace{Return: true, Session: entry.Session}}, &end); err != nil {
				t.Fatal(err)
			}
			var out [64]int64
			if err := coll.Variables["out"].Get(&out); err != nil {
				t.Fatal(err)
			}
			if out[1] != number || end.Session != number {
				t.Errorf("the run at the return saw %#x and left %#x, want %#x", out[1], end.Session, number)
			}
		})
	}
}
