package vm_test

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/engine"
	"github.com/skep-ebpf/skep/vm/object"
)

// holders is what testdata/kfunc/object.bpf.c keeps its objects in: a list, a
// tree and pointers in a map, as far as their keys go.
type holders struct {
	list, tree []uint64
	kept       [4]*uint64
}

func (h *holders) add(key uint64) {
	i, _ := slices.BinarySearch(h.tree, key+1) // behind its equals
	h.tree = slices.Insert(h.tree, i, key)
}

// step does what the program does, and gives its results.
func (h *holders) step(what, key uint64) (ret uint32, out [3]int64) {
	const none, invalid = -1, -22
	out[0] = none
	slot := key & 7
	switch what {
	case 0:
		h.list, out[0] = slices.Insert(h.list, 0, key), 0
	case 1:
		h.list, out[0] = append(h.list, key), 0
	case 2:
		h.add(key)
		out[0] = 0
	case 3, 4:
		if n := len(h.list); n > 0 {
			i := 0
			if what == 4 {
				i = n - 1
			}
			out[0] = int64(h.list[i])
			h.list = slices.Delete(h.list, i, i+1)
		}
	case 5:
		if len(h.tree) > 0 {
			out[0], out[1] = int64(h.tree[0]), int64(h.tree[0])
			h.tree = h.tree[1:]
		}
	case 6, 8:
		if slot >= 4 {
			return 2, out
		}
		old := h.kept[slot]
		h.kept[slot] = nil
		switch {
		case what == 6:
			h.kept[slot] = &key
			if old != nil {
				out[0] = int64(*old)
			}
		case old == nil:
			return 3, out
		default: // the second reference cannot be added, too
			h.add(*old)
			out = [3]int64{0, int64(*old), invalid}
		}
	case 7:
		h.list = slices.Insert(h.list, 0, key)
		h.add(key)
		out[0] = 0
	}
	return 0, out
}

// TestObjects holds objects in lists, trees and kptrs against Go's slices, in
// both modes (machine.TestObjects, against Linux's). When all is closed no object is
// left.
func TestObjects(t *testing.T) {
	for _, mode := range engine.Modes() {
		t.Run(mode.String(), func(t *testing.T) {
			before := object.Live()
			p, err := program.Open(filepath.Join("testdata", "kfunc", "object.bpf.o"))
			if err != nil {
				t.Fatal(err)
			}
			coll, err := vm.NewCollectionWithOptions(p.Spec, vm.CollectionOptions{Programs: vm.ProgramOptions{Mode: mode}})
			if err != nil {
				t.Fatal(err)
			}
			var model holders
			rnd := rand.New(rand.NewPCG(5, 6))
			for i := range 5000 {
				in := [8]uint64{rnd.Uint64N(9), rnd.Uint64N(64)}
				if err := coll.Variables["in"].Set(in); err != nil {
					t.Fatal(err)
				}
				if err := coll.Variables["out"].Set([64]int64{}); err != nil {
					t.Fatal(err)
				}
				ret, err := coll.Programs["step"].Run(&ebpf.RunOptions{Data: make([]byte, 64)})
				if err != nil {
					t.Fatal(err)
				}
				var out [64]int64
				if err := coll.Variables["out"].Get(&out); err != nil {
					t.Fatal(err)
				}
				wantRet, want := model.step(in[0], in[1])
				if ret != wantRet || [3]int64(out[:3]) != want {
					t.Fatalf("step %d, %d with %d: %d %v, want %d %v", i, in[0], in[1], ret, out[:3], wantRet, want)
				}
			}
			coll.Close()
			if n := object.Live() - before; n != 0 {
				t.Errorf("%d objects are left", n)
			}
		})
	}
}
