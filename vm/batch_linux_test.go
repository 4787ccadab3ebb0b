package vm

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/testenv"
)

// batchMap is the half of a map that works on many elements.
type batchMap interface {
	BatchUpdate(keys, values any, opts *ebpf.BatchOptions) (int, error)
	BatchDelete(keys any, opts *ebpf.BatchOptions) (int, error)
}

// kindOfError is what code tells errors apart by.
func kindOfError(err error) string {
	for _, no := range []errno.Errno{errno.E2BIG, errno.EINVAL, errno.EPERM, errno.ENOSPC, errno.ENOMEM} {
		if errors.Is(err, no) || errors.Is(err, syscall.Errno(no)) {
			return no.Error()
		}
	}
	for _, is := range []error{ebpf.ErrKeyNotExist, ebpf.ErrKeyExist, ebpf.ErrNotSupported} {
		if errors.Is(err, is) {
			return is.Error()
		}
	}
	return fmt.Sprint(err)
}

// TestBatchLikeTheKernel holds counts, errors and what is left in a map after
// operations on many elements, some of which fail halfway.
func TestBatchLikeTheKernel(t *testing.T) {
	testenv.KernelFrom(t, 6, 12, "some map types had no batches")
	r := rand.New(rand.NewPCG(1, 2))
	for _, typ := range []ebpf.MapType{
		ebpf.Array, ebpf.PerCPUArray, ebpf.Hash, ebpf.PerCPUHash, ebpf.LRUHash, ebpf.LPMTrie, ebpf.StackTrace,
	} {
		t.Run(typ.String(), func(t *testing.T) {
			for range 40 {
				batchSequence(t, r, typ)
			}
		})
	}
}

func batchSequence(t *testing.T, r *rand.Rand, typ ebpf.MapType) {
	spec := &ebpf.MapSpec{Type: typ, KeySize: 4, ValueSize: 8, MaxEntries: 6}
	switch typ {
	case ebpf.LPMTrie:
		spec.KeySize, spec.Flags = 8, 1
	case ebpf.LRUHash:
		spec.MaxEntries = 1024
	}
	kernel, err := ebpf.NewMap(spec)
	if err != nil {
		t.Fatal(err)
	}
	defer kernel.Close()
	ours, err := NewMap(spec)
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	for range 12 {
		n := 1 + r.IntN(5)
		keys := make([][8]byte, n)
		flat := make([]uint32, n)
		for i := range n {
			flat[i] = r.Uint32N(9)
			keys[i] = [8]byte{32, 4: byte(flat[i])}
		}
		var k any = flat
		if typ == ebpf.LPMTrie {
			k = keys
		}
		values := make([]uint64, n)
		if ours.info.PerCPU() {
			values = make([]uint64, n*PossibleCPU())
		}
		for i := range values {
			values[i] = r.Uint64()
		}
		var opts *ebpf.BatchOptions
		if r.IntN(6) == 0 {
			opts = &ebpf.BatchOptions{ElemFlags: r.Uint64N(6)}
		}
		op, do := "update", func(m batchMap) (int, error) { return m.BatchUpdate(k, values, opts) }
		if r.IntN(3) == 0 {
			op, do = "delete", func(m batchMap) (int, error) { return m.BatchDelete(k, opts) }
		}
		wantN, want := do(kernel)
		gotN, got := do(ours)
		if kindOfError(want) == kindOfError(errno.EINVAL) || errors.Is(want, ebpf.ErrNotSupported) {
			wantN = 0 // refused before anything was counted
		}
		if wantN != gotN || kindOfError(want) != kindOfError(got) {
			t.Fatalf("%s of %v %+v: kernel %d %v, ours %d %v", op, flat, opts, wantN, want, gotN, got)
		}
	}
	if typ == ebpf.StackTrace {
		return
	}
	if diff := cmp.Diff(readAll(t, kernel.BatchLookup, spec, ours), readAll(t, ours.batch(), spec, ours)); diff != "" {
		t.Fatalf("(-kernel +ours):\n%s", diff)
	}
}

// TestBatchReadLikeTheKernel reads maps in batches of all sizes, with and without
// deletion, until their end.
func TestBatchReadLikeTheKernel(t *testing.T) {
	testenv.KernelFrom(t, 6, 12, "some map types had no batches")
	r := rand.New(rand.NewPCG(3, 4))
	for _, typ := range []ebpf.MapType{
		ebpf.Array, ebpf.PerCPUArray, ebpf.Hash, ebpf.PerCPUHash, ebpf.LRUHash, ebpf.LRUCPUHash, ebpf.LPMTrie,
	} {
		t.Run(typ.String(), func(t *testing.T) {
			for range 60 {
				readSequence(t, r, typ)
			}
		})
	}
}

func readSequence(t *testing.T, r *rand.Rand, typ ebpf.MapType) {
	spec := &ebpf.MapSpec{Type: typ, KeySize: 8, ValueSize: 8, MaxEntries: 40}
	ordered := false // the kernel's order is ours
	switch typ {
	case ebpf.Array, ebpf.PerCPUArray:
		spec.KeySize, ordered = 4, true
	case ebpf.LPMTrie:
		spec.Flags, ordered = 1, true
	case ebpf.LRUHash, ebpf.LRUCPUHash:
		spec.MaxEntries = 1024
	}
	kernel, err := ebpf.NewMap(spec)
	if err != nil {
		t.Fatal(err)
	}
	defer kernel.Close()
	ours, err := NewMap(spec)
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	per := 1
	if ours.info.PerCPU() {
		per = PossibleCPU()
	}
	for range r.IntN(30) {
		key := make([]byte, spec.KeySize)
		key[0] = byte(r.IntN(40))
		if typ == ebpf.LPMTrie {
			key[0], key[4] = 32, key[0]
		}
		var value any = r.Uint64()
		if ours.info.PerCPU() {
			all := make([]uint64, per)
			all[0], all[per-1] = r.Uint64(), r.Uint64()
			value = all
		}
		for _, m := range []interface{ Put(key, value any) error }{kernel, ours} {
			if err := m.Put(key, value); err != nil {
				t.Fatal(err)
			}
		}
	}
	take := r.IntN(2) == 0
	room := 1 + r.IntN(45)
	want := inBatches(kernel.BatchLookup, kernel.BatchLookupAndDelete, new(ebpf.MapBatchCursor), spec, take, room, per)
	got := inBatches(ours.BatchLookup, ours.BatchLookupAndDelete, new(MapBatchCursor), spec, take, room, per)
	if !ordered {
		want.steps, got.steps = nil, nil // how many come at once depends on the buckets
		slices.Sort(want.elements)
		slices.Sort(got.elements)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(batches{})); diff != "" {
		t.Fatalf("take %v, room for %d (-kernel +ours):\n%s", take, room, diff)
	}
	// Room for exactly what there is: does the batch say that it was the last?
	if n := len(want.elements); n > 0 && !take {
		want := inBatches(kernel.BatchLookup, nil, new(ebpf.MapBatchCursor), spec, false, n, per)
		got := inBatches(ours.BatchLookup, nil, new(MapBatchCursor), spec, false, n, per)
		if diff := cmp.Diff(want.steps, got.steps); diff != "" {
			t.Fatalf("%d elements, room for as many (-kernel +ours):\n%s", n, diff)
		}
	}
	if take && want.end == kindOfError(ebpf.ErrKeyNotExist) {
		key := make([]byte, spec.KeySize)
		if a, b := kernel.NextKey(nil, key), ours.NextKey(nil, key); kindOfError(a) != kindOfError(b) {
			t.Fatalf("what is left: kernel %v, ours %v", a, b)
		}
	}
}

// batches is what reading a map in batches gives.
type batches struct {
	steps    []string // count and error of each batch
	elements []string
	end      string
}

// inBatches reads to the end, with more room where it is too little for one of the
// kernel's buckets.
func inBatches[C any](look, take func(*C, any, any, *ebpf.BatchOptions) (int, error), cursor *C, spec *ebpf.MapSpec, remove bool, room, per int) (b batches) {
	if remove {
		look = take
	}
	for range 1000 {
		values := make([]uint64, room*per)
		var keys any = make([][8]byte, room)
		if spec.KeySize == 4 {
			keys = make([]uint32, room)
		}
		n, err := look(cursor, keys, values, nil)
		b.end = kindOfError(err)
		if b.end == kindOfError(errno.ENOSPC) {
			room *= 2
			continue
		}
		if b.end == kindOfError(ebpf.ErrNotSupported) {
			n = 0 // refused before anything was counted
		}
		b.steps = append(b.steps, fmt.Sprint(n, b.end))
		for i := range n {
			b.elements = append(b.elements, fmt.Sprint(reflect.ValueOf(keys).Index(i), values[i*per:(i+1)*per]))
		}
		if err != nil {
			break
		}
	}
	return b
}

// batch is BatchLookup with the kernel's cursor, which is of no use here.
func (m *Map) batch() func(*ebpf.MapBatchCursor, any, any, *ebpf.BatchOptions) (int, error) {
	var cursor MapBatchCursor
	return func(_ *ebpf.MapBatchCursor, keys, values any, opts *ebpf.BatchOptions) (int, error) {
		return m.BatchLookup(&cursor, keys, values, opts)
	}
}

// readAll reads a map in one batch that has room for more than it has.
func readAll(t *testing.T, lookup func(*ebpf.MapBatchCursor, any, any, *ebpf.BatchOptions) (int, error), spec *ebpf.MapSpec, ours *Map) (all []string) {
	t.Helper()
	const room = 64
	values := make([]uint64, room)
	per := 1
	if ours.info.PerCPU() {
		per = PossibleCPU()
		values = make([]uint64, room*per)
	}
	var k any
	if spec.KeySize == 8 {
		k = make([][8]byte, room)
	} else {
		k = make([]uint32, room)
	}
	n, err := lookup(new(ebpf.MapBatchCursor), k, values, nil)
	if kindOfError(err) != kindOfError(ebpf.ErrKeyNotExist) {
		t.Fatalf("read %d: %v", n, err)
	}
	for i := range n {
		switch k := k.(type) {
		case [][8]byte:
			all = append(all, fmt.Sprint(k[i], values[i*per:(i+1)*per]))
		case []uint32:
			all = append(all, fmt.Sprint(k[i], values[i*per:(i+1)*per]))
		}
	}
	slices.Sort(all)
	return all
}
