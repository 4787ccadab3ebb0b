package vm_test

import (
	"encoding/binary"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/vm"
)

// TestArena: a program and user space share a list, and what no page is there
// for reads as 0.
func TestArena(t *testing.T) {
	p, err := program.Open(filepath.Join("testdata", "kfunc", "arena.bpf.o"))
	if err != nil {
		t.Fatal(err)
	}
	coll, err := vm.NewCollection(p.Spec)
	if err != nil {
		t.Fatal(err)
	}
	defer coll.Close()
	run := func(prog string, in ...uint64) (out [64]int64) {
		t.Helper()
		var all [8]uint64
		copy(all[:], in)
		if err := coll.Variables["in"].Set(all); err != nil {
			t.Fatal(err)
		}
		if ret, err := coll.Programs[prog].Run(&ebpf.RunOptions{}); err != nil || ret != 0 {
			t.Fatal(prog, ret, err)
		}
		if err := coll.Variables["out"].Get(&out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	run("build", 10)
	if out := run("sum"); out[0] != 285 || out[1] != 10 {
		t.Errorf("the sum of %d nodes is %d", out[1], out[0])
	}

	memory, err := coll.Maps["arena"].Memory()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 8)
	if _, err := memory.ReadAt(b, 9*16+8); err != nil || binary.LittleEndian.Uint64(b) != 81 {
		t.Errorf("node 9 has %d (%v)", binary.LittleEndian.Uint64(b), err)
	}
	binary.LittleEndian.PutUint64(b, 1000)
	if _, err := memory.WriteAt(b, 8); err != nil {
		t.Fatal(err)
	}
	if out := run("sum"); out[0] != 1285 {
		t.Errorf("after user space changed a node the sum is %d", out[0])
	}

	out := run("nowhere")
	if diff := cmp.Diff([]int64{7, 0, 0, 9, 9, 10, 0}, out[:7]); diff != "" {
		t.Error(diff)
	}
}
