package program

import (
	"maps"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/google/go-cmp/cmp"
)

func TestSubset(t *testing.T) {
	uses := func(refs ...string) asm.Instructions {
		var insns asm.Instructions
		for _, r := range refs {
			insns = append(insns, asm.LoadMapPtr(asm.R1, 0).WithReference(r))
		}
		return append(insns, asm.Return())
	}
	spec := &ebpf.CollectionSpec{
		Programs: map[string]*ebpf.ProgramSpec{
			"entry": {Instructions: uses("jumps", ".bss")},
			"next":  {Instructions: uses("jumps", "outer")}, // and back: a cycle
			"other": {Instructions: uses("unwanted")},
		},
		Maps: map[string]*ebpf.MapSpec{
			"jumps":    {Type: ebpf.ProgramArray, Contents: []ebpf.MapKV{{Key: uint32(0), Value: "next"}}},
			"outer":    {Type: ebpf.HashOfMaps, Contents: []ebpf.MapKV{{Key: uint32(0), Value: "inner"}}},
			"inner":    {Type: ebpf.Array},
			".bss":     {Type: ebpf.Array},
			"unwanted": {Type: ebpf.Array},
			".data":    {Type: ebpf.Array},
		},
		Variables: map[string]*ebpf.VariableSpec{
			"kept": {SectionName: ".bss"},
			"gone": {SectionName: ".data"},
		},
	}
	got, err := Subset(spec, "entry")
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{{"entry", "next"}, {".bss", "inner", "jumps", "outer"}, {"kept"}}
	if diff := cmp.Diff(want, [][]string{
		slices.Sorted(maps.Keys(got.Programs)),
		slices.Sorted(maps.Keys(got.Maps)),
		slices.Sorted(maps.Keys(got.Variables)),
	}); diff != "" {
		t.Fatal(diff)
	}
	if _, err := Subset(spec, "nobody"); err == nil {
		t.Fatal("a program that is not there was found")
	}
}
