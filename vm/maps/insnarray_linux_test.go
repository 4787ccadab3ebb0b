package maps

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/testenv"
)

// TestInsnArraysLikeTheKernel makes instruction arrays of good and bad sizes, and does
// the same random operations on them there and here.
func TestInsnArraysLikeTheKernel(t *testing.T) {
	testenv.KernelFrom(t, 7, 0, "there were no instruction arrays")
	first := testenv.Seed(t) >> 32
	for i := range uint64(*sequences) {
		seed := first + i
		r := rand.New(rand.NewPCG(seed, 0))
		spec := ebpf.MapSpec{
			Name: "table", Type: TypeInsnArray, KeySize: rarely(r, 4, 0, 3, 8), ValueSize: rarely(r, insnValueSize, 0, 4, 8, 24),
			MaxEntries: rarely(r, 4, 0, 1, 100), MapExtra: uint64(rarely(r, 0, 1)),
			Flags: rarely(r, 0, FlagNoPrealloc, FlagNumaNode, FlagRdonly, FlagWronly, FlagRdonlyProg, FlagMmapable, FlagInnerMap),
		}
		kernel, ours, ok := create(t, seed, &spec)
		if !ok {
			continue
		}
		s := &sequence{trial: &trial{name: "insn_array"}, r: r, kernel: kernel, ours: ours, keys: indexes(&spec, r), values: tableEntry}
		fmt.Fprintf(&s.log, "%v\n", &spec)
		for range 50 {
			if s.step() {
				t.Fatalf("seed %d:\n%s", seed, s.log.String())
			}
		}
		kernel.Close()
		ours.Close()
	}
}

// tableEntry is most often one that user space may write.
func tableEntry(r *rand.Rand, size int) []byte {
	b := randomBytes(r, size)
	if r.IntN(4) > 0 {
		clear(b[offXlated:])
	}
	return b
}

// rarely gives usual, and one time in eight something else.
func rarely(r *rand.Rand, usual uint32, other ...uint32) uint32 {
	if r.IntN(8) > 0 {
		return usual
	}
	return other[r.IntN(len(other))]
}

// create makes a map in Linux and here; both or neither can be made, for the same
// reason.
func create(t *testing.T, seed uint64, spec *ebpf.MapSpec) (kernel *oracle, ours Map, ok bool) {
	t.Helper()
	kernel, want := newOracle(spec, -1)
	ours, got := New(spec, possibleCPUs())
	if errnoOf(got) != errnoOf(want) {
		t.Fatalf("seed %d, %v: the kernel %v, ours %v", seed, spec, want, got)
	}
	return kernel, ours, want == nil
}

// TestInsnArrayBatches checks that there are none.
func TestInsnArrayBatches(t *testing.T) {
	testenv.KernelFrom(t, 7, 0, "there were no instruction arrays")
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: TypeInsnArray, KeySize: 4, ValueSize: insnValueSize, MaxEntries: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	keys, values := make([]uint32, 2), make([][insnValueSize]byte, 2)
	var cursor ebpf.MapBatchCursor
	_, look := m.BatchLookup(&cursor, keys, values, nil)
	_, update := m.BatchUpdate(keys, values, nil)
	_, remove := m.BatchDelete(keys, nil)
	for what, err := range map[string]error{"lookup": look, "update": update, "delete": remove} {
		if !errors.Is(err, ebpf.ErrNotSupported) {
			t.Errorf("batch %s: %v", what, err)
		}
	}
}
