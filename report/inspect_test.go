package report

import (
	"maps"
	"slices"
	"testing"

	"github.com/skep-ebpf/skep/inspect"
	"github.com/skep-ebpf/skep/program"
)

func TestInspected(t *testing.T) {
	var all []*inspect.Program
	for _, object := range []struct {
		path  string
		progs []string // nil: all
	}{
		{"../examples/firewall/firewall.bpf.o", nil},
		{"../examples/redirect/redirect.bpf.o", nil},
		{"../examples/tracing/probes.bpf.o", []string{"handle_exec", "unlinks"}},
		{"../examples/mistakes/stale_pointer.bpf.o", nil},
	} {
		p, err := program.Open(object.path)
		if err != nil {
			t.Fatal(err)
		}
		if object.progs == nil {
			object.progs = slices.Sorted(maps.Keys(p.Spec.Programs))
		}
		some, err := inspect.Inspect(p.Spec, object.progs, &program.LinkOptions{NoHostTypes: true})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, some...)
	}
	both(t, "inspected", func(w *Writer) error { return w.Inspected(all) })
}
