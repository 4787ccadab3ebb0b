package maps

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
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

func newPair(spec *ebpf.MapSpec, inner int) (*pair, error) {
	k, err := newOracle(spec, inner)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", spec, err)
	}
	id, err := k.id()
	if err != nil {
		return nil, errors.Join(err, k.Close())
	}
	ours, err := New(spec, possibleCPUs())
	if err != nil {
		return nil, errors.Join(err, k.Close())
	}
	return &pair{k, ours, id}, nil
}

func (p *pair) Close() {
	p.kernel.Close()
	p.ours.Close()
}

// nest is a template and the maps that are tried inside a map of such maps.
type nest struct {
	template ebpf.MapSpec
	inner    []*pair
}

func nests(t *testing.T) (all []nest) {
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
		n := nest{template: template}
		for i := range specs {
			p, err := newPair(&specs[i], -1)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.Close)
			n.inner = append(n.inner, p)
		}
		all = append(all, n)
	}
	return all
}

// TestMapsOfMapsLikeTheKernel runs many sequences at once: the kernel waits for a
// grace period at each change, and one is enough for all who wait.
func TestMapsOfMapsLikeTheKernel(t *testing.T) {
	testenv.Kernel(t)
	const atOnce = 64
	first := *seed
	if first == 0 {
		first = testenv.Seed(t) >> 32
	}
	all := nests(t)
	for _, typ := range []ebpf.MapType{ebpf.ArrayOfMaps, ebpf.HashOfMaps} {
		t.Run(typ.String(), func(t *testing.T) {
			var next atomic.Uint64
			var wg sync.WaitGroup
			for range atOnce {
				wg.Go(func() {
					for i := next.Add(1) - 1; i < uint64(*sequences) && !t.Failed(); i = next.Add(1) - 1 {
						if diff := mapsOfMaps(typ, all, first+i); diff != "" {
							t.Errorf("seed %d (-seed %[1]d -sequences 1):\n%s", first+i, diff)
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// mapsOfMaps is one sequence; it gives what was done where the maps differ.
func mapsOfMaps(typ ebpf.MapType, all []nest, seed uint64) string {
	r := rand.New(rand.NewPCG(seed, 2))
	n := all[r.IntN(len(all))]
	spec := goodSpec(typ)
	spec.MaxEntries = 3
	spec.InnerMap = &n.template
	outer, err := newPair(&spec, n.inner[0].kernel.fd)
	if err != nil {
		return err.Error()
	}
	defer outer.Close()
	var log strings.Builder
	fmt.Fprintf(&log, "%v\n", &spec)
	for range 40 {
		if outer.step(r, n.inner, &log) {
			return log.String()
		}
	}
	return ""
}

// step does one operation on both maps and reports whether they differ.
func (outer *pair) step(r *rand.Rand, inner []*pair, log *strings.Builder) bool {
	key := le32(uint32(r.IntN(5)))
	p := inner[r.IntN(len(inner))]
	flags := uint64(0)
	if r.IntN(3) == 0 {
		flags = uint64(r.IntN(6))
	}
	var want, got error
	var op string
	same := true
	a, b := make([]byte, 4), make([]byte, 4)
	switch r.IntN(7) {
	case 0, 1:
		op = "update with " + p.ours.Info().Type.String()
		want = outer.kernel.UserUpdate(key, le32(uint32(p.kernel.fd)), flags)
		got = outer.ours.UserUpdate(key, le32(uint32(p.ours.Info().Handle)), flags)
	case 2:
		op = "lookup"
		want, got = outer.kernel.UserLookup(key, a, flags), outer.ours.UserLookup(key, b, flags)
		if want == nil && got == nil {
			for _, p := range inner {
				same = same && (p.id == u32(a)) == (uint32(p.ours.Info().Handle) == u32(b))
			}
			same = same && uint32(outer.ours.Lookup(0, key)) == u32(b) // what a program sees
		}
	case 3:
		op = "delete"
		want, got = outer.kernel.UserDelete(key), outer.ours.UserDelete(key)
	case 4:
		op = "lookup and delete"
		want, got = outer.kernel.LookupAndDelete(key, a, 0), outer.ours.LookupAndDelete(key, b, 0)
	case 5:
		op = "bad update"
		want, got = outer.kernel.UserUpdate(key, le32(1<<30), flags), outer.ours.UserUpdate(key, le32(1<<30), flags)
	case 6:
		op = "next key"
		if outer.ours.Info().Type == ebpf.HashOfMaps { // whose order is its own
			key = nil
		}
		want, got = outer.kernel.NextKey(key, a), outer.ours.NextKey(key, b)
		same = key == nil || want != nil || u32(a) == u32(b)
	}
	fmt.Fprintf(log, "%s key %x flags %d: kernel %v %x, ours %v %x\n", op, key, flags, want, a, got, b)
	return !same || errnoOf(want) != errnoOf(got)
}

// TestInnerLikeTheKernel holds what may be inside a map of maps at all.
func TestInnerLikeTheKernel(t *testing.T) {
	testenv.KernelFrom(t, 6, 12, "some map types were not there yet")
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
		p, err := newPair(&spec, in.fd)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
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
