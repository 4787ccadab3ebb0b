package vm_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	ciliumringbuf "github.com/cilium/ebpf/ringbuf"

	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/ringbuf"
)

// absent are the methods of cilium/ebpf that mean nothing here, and why.
var absent = map[string]string{
	"Map.Pin":           "there is no file system of maps",
	"Map.Unpin":         "there is no file system of maps",
	"Map.IsPinned":      "there is no file system of maps",
	"Map.Handle":        "types are not loaded into a kernel",
	"Program.Pin":       "there is no file system of programs",
	"Program.Unpin":     "there is no file system of programs",
	"Program.IsPinned":  "there is no file system of programs",
	"Program.Handle":    "types are not loaded into a kernel",
	"Program.SetHandle": "types are not loaded into a kernel",
	"Program.Stats":     "runs are not counted, so that they cost nothing",
	"Program.BindMap":   "a program keeps the maps that it refers to, and needs no others",
}

// shapes are types of cilium/ebpf and ours in their place.
var shapes = []struct{ theirs, ours any }{
	{(*ebpf.Collection)(nil), (*vm.Collection)(nil)},
	{(*ebpf.Program)(nil), (*vm.Program)(nil)},
	{(*ebpf.Map)(nil), (*vm.Map)(nil)},
	{(*ebpf.MapIterator)(nil), (*vm.MapIterator)(nil)},
	{(*ebpf.Variable)(nil), (*vm.Variable)(nil)},
	{(*ciliumringbuf.Reader)(nil), (*ringbuf.Reader)(nil)},
}

// TestShapes holds our types against cilium/ebpf's: every method that has a
// meaning here exists, with the same signature but for our types in place of
// theirs.
func TestShapes(t *testing.T) {
	for _, tt := range shapes {
		theirs, ours := reflect.TypeOf(tt.theirs), reflect.TypeOf(tt.ours)
		for i := range theirs.NumMethod() {
			want := theirs.Method(i)
			name := theirs.Elem().Name() + "." + want.Name
			if absent[name] != "" {
				continue
			}
			got, ok := ours.MethodByName(want.Name)
			if !ok {
				t.Errorf("%s is missing", name)
				continue
			}
			if signature(got.Type) != signature(want.Type) {
				t.Errorf("%s is %s, want %s", name, signature(got.Type), signature(want.Type))
			}
		}
	}
}

// signature is a method's type without its receiver, our names made theirs.
func signature(t reflect.Type) string {
	var names []string
	for i := 1; i < t.NumIn(); i++ {
		names = append(names, t.In(i).String())
	}
	names = append(names, "->")
	for i := range t.NumOut() {
		names = append(names, t.Out(i).String())
	}
	return strings.ReplaceAll(strings.Join(names, " "), "vm.", "ebpf.")
}
