package maps

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/testenv"
)

// innerSpecs are candidates for the inside of a map of maps: the first is the
// template, the others differ from it in one place.
func innerSpecs(base ebpf.MapSpec) []ebpf.MapSpec {
	specs := []ebpf.MapSpec{base, base}
	for _, change := range []func(*ebpf.MapSpec){
		func(s *ebpf.MapSpec) { s.MaxEntries *= 2 },
		func(s *ebpf.MapSpec) { s.ValueSize += 4 },
		func(s *ebpf.MapSpec) { s.KeySize, s.Type, s.Flags = 8, ebpf.Hash, 0 },
		func(s *ebpf.MapSpec) { s.Flags ^= FlagRdonlyProg },
		func(s *ebpf.MapSpec) { s.KeySize, s.Type, s.Flags = 4, ebpf.PerCPUArray, 0 },
	} {
		s := base
		change(&s)
		specs = append(specs, s)
	}
	return specs
}

// pair is the same map in the kernel and here.
type pair struct {
	kernel *oracle
	ours   Map
	id     uint32 // the kernel's
}

func newPair(t *testing.T, spec *ebpf.MapSpec, inner int) *pair {
	t.Helper()
	k, err := newOracle(spec, inner)
	if err != nil {
		t.Fatalf("%v: %v", spec, err)
	}
	t.Cleanup(func() { k.Close() })
	info, err := k.id()
	if err != nil {
		t.Fatal(err)
	}
	return &pair{k, newMap(t, *spec), info}
}

func TestMapsOfMapsLikeTheKernel(t *testing.T) {
	testenv.Kernel(t)
	r := rand.New(rand.NewPCG(1, 2))
	array := goodSpec(ebpf.Array)
	inArray := array
	inArray.Flags = FlagInnerMap
	for _, template := range []ebpf.MapSpec{
		array, inArray, goodSpec(ebpf.Hash), goodSpec(ebpf.PerCPUArray), goodSpec(ebpf.LRUHash),
		goodSpec(ebpf.Queue), goodSpec(ebpf.RingBuf), goodSpec(ebpf.LPMTrie),
	} {
		specs := innerSpecs(template)
		if template.Type == ebpf.Queue || template.Type == ebpf.RingBuf {
			specs = specs[:3]
		}
		var inner []*pair
		for i := range specs {
			inner = append(inner, newPair(t, &specs[i], -1))
		}
		for _, typ := range []ebpf.MapType{ebpf.ArrayOfMaps, ebpf.HashOfMaps} {
			t.Run(typ.String()+" of "+template.Type.String(), func(t *testing.T) {
				outer := goodSpec(typ)
				outer.MaxEntries = 3
				outer.InnerMap = &template
				testOuter(t, r, newPair(t, &outer, inner[0].kernel.fd), inner)
			})
		}
	}
}

func testOuter(t *testing.T, r *rand.Rand, outer *pair, inner []*pair) {
	put := func(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }
	for i := range 80 { // the kernel waits for a grace period at each change
		key := put(uint32(r.IntN(5)))
		p := inner[r.IntN(len(inner))]
		flags := uint64(0)
		if r.IntN(3) == 0 {
			flags = uint64(r.IntN(6))
		}
		var want, got error
		var op string
		a, b := make([]byte, 4), make([]byte, 4)
		switch r.IntN(6) {
		case 0, 1:
			op = "update"
			want = outer.kernel.UserUpdate(key, put(uint32(p.kernel.fd)), flags)
			got = outer.ours.UserUpdate(key, put(uint32(p.ours.Info().Handle)), flags)
		case 2:
			op = "lookup"
			want = outer.kernel.UserLookup(key, a, 0)
			got = outer.ours.UserLookup(key, b, 0)
			if want == nil && got == nil {
				for _, p := range inner {
					if (p.id == u32(a)) != (uint32(p.ours.Info().Handle) == u32(b)) {
						t.Fatalf("step %d: lookup of %x: the kernel has map %d, ours %d", i, key, u32(a), u32(b))
					}
				}
				if h := outer.ours.Lookup(0, key); uint32(h) != u32(b) {
					t.Fatalf("step %d: a program sees %d, user space %d", i, h, u32(b))
				}
			}
		case 3:
			op = "delete"
			want, got = outer.kernel.UserDelete(key), outer.ours.UserDelete(key)
		case 4:
			op = "lookup and delete"
			want, got = outer.kernel.LookupAndDelete(key, a, 0), outer.ours.LookupAndDelete(key, b, 0)
		case 5:
			op = "bad update"
			want = outer.kernel.UserUpdate(key, put(1<<30), flags)
			got = outer.ours.UserUpdate(key, put(1<<30), flags)
		}
		if errnoOf(want) != errnoOf(got) {
			t.Fatalf("step %d: %s key %x value %v flags %d: kernel %v, ours %v", i, op, key, p.ours.Info().Type, flags, want, got)
		}
	}
}

// TestInnerLikeTheKernel holds what may be inside a map of maps at all.
func TestInnerLikeTheKernel(t *testing.T) {
	testenv.Kernel(t)
	template := goodSpec(ebpf.Array)
	in, err := newOracle(&template, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	for _, typ := range []ebpf.MapType{
		ebpf.Hash, ebpf.Array, ebpf.PerCPUHash, ebpf.PerCPUArray, ebpf.LRUHash, ebpf.LPMTrie, ebpf.ProgramArray,
		ebpf.PerfEventArray, ebpf.RingBuf, ebpf.Queue, ebpf.Stack, ebpf.BloomFilter, ebpf.ArrayOfMaps, ebpf.HashOfMaps,
	} {
		spec := goodSpec(typ)
		spec.InnerMap = &template
		p := newPair(t, &spec, in.fd)
		outer := goodSpec(ebpf.ArrayOfMaps)
		outer.InnerMap = &spec
		k, want := newOracle(&outer, p.kernel.fd)
		if want == nil {
			k.Close()
		}
		m, got := New(&outer, 2)
		if got == nil {
			m.Close()
		}
		if errnoOf(want) != errnoOf(got) {
			t.Errorf("%s inside: kernel %v, ours %v", typ, want, got)
		}
	}
}

// id is the kernel's id of the map.
func (o *oracle) id() (uint32, error) {
	m, err := ebpf.NewMapFromFD(mustDup(o.fd))
	if err != nil {
		return 0, err
	}
	defer m.Close()
	info, err := m.Info()
	if err != nil {
		return 0, err
	}
	id, ok := info.ID()
	if !ok {
		return 0, errno.ENOENT
	}
	return uint32(id), nil
}

func mustDup(fd int) int {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		panic(err)
	}
	return dup
}
