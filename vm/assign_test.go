package vm_test

import (
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/vm"
)

// cyclic is a struct that leads back to itself.
type cyclic struct{ Next *cyclic }

func TestAssign(t *testing.T) {
	spec := &ebpf.CollectionSpec{
		Programs: map[string]*ebpf.ProgramSpec{"same": returns("same", 2)},
		Maps: map[string]*ebpf.MapSpec{"same": {
			Name: "same", Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1,
		}},
	}
	coll := load(t, spec)
	loop := &cyclic{}
	loop.Next = loop
	for _, tt := range []struct {
		to   any
		want string
	}{
		{loop, "contains itself"},
		{&struct {
			A *vm.Map `ebpf:"same"`
			B *vm.Map `ebpf:"same"`
		}{}, "field B: same is field A already"},
		{&struct {
			A *vm.Map `ebpf:"nowhere"`
		}{}, `no *vm.Map named "nowhere"`},
		{&struct {
			A int `ebpf:"same"`
		}{}, "has type int"},
		{struct{}{}, "not a pointer to a struct"},
	} {
		if err := coll.Assign(tt.to); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%T: %v, want %q", tt.to, err, tt.want)
		}
	}

	// A map and a program may have one name; only what is assigned leaves.
	var objs struct {
		Prog *vm.Program `ebpf:"same"`
	}
	if err := coll.Assign(&objs); err != nil {
		t.Fatal(err)
	}
	defer objs.Prog.Close()
	if coll.Programs["same"] != nil || coll.Maps["same"] == nil {
		t.Errorf("the collection keeps programs %v, maps %v", coll.Programs, coll.Maps)
	}
}
