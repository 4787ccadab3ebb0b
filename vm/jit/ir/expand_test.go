package ir

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/helper"
	"github.com/skep-ebpf/skep/vm/jit/abi"
	"github.com/skep-ebpf/skep/vm/maps"
)

// bench is a helper called with a map, as Go does it and as instructions.
type bench struct {
	t      *testing.T
	m      maps.Map
	helper *helper.Helper
	state  *exec.State
	eval   *evaluator
	key    []byte
	value  []byte
	left   int // how often native code was left for the helper
}

// newBench expands a call of a helper with a map, with the instructions behind it.
func newBench(t *testing.T, id uint32, spec ebpf.MapSpec, cpu int, rest ...Block) *bench {
	t.Helper()
	m, err := maps.New(&spec, 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	state, err := exec.NewState(cpu)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, m: m, helper: helper.ByID(id), state: state}
	memory := state.CtxBytes()
	b.key, b.value = memory[:spec.KeySize], memory[512:512+spec.ValueSize]
	call := Ins{Op: Helper, Dst: 0, A: None, B: None, C: None, N: uint8(len(b.helper.Args)), Off: 1}
	main := &Func{Name: "main", Vars: FirstFree, Blocks: []Block{
		{Ins: []Ins{call, ret()}, Succ: [2]int32{-1, -1}},
	}}
	if len(rest) > 0 {
		main.Blocks = rest
		main.Blocks[0].Ins = append([]Ins{call}, rest[0].Ins...)
	}
	p := &Program{Funcs: []*Func{main}}
	p.Expand(&Calls{Helpers: []*helper.Helper{b.helper}, Maps: []maps.Map{m}})
	binary.NativeEndian.PutUint64(memory[1024+abi.OffCPU:], uint64(cpu))
	b.eval = &evaluator{t: t, prog: p, context: uint64(exec.Addr(memory[1024:])), outside: func(i *Ins, a [5]uint64) uint64 {
		b.left++
		return b.helper.Func(state, a[0], a[1], a[2], a[3], a[4])
	}}
	return b
}

// args are the arguments of a call, which all the helpers begin with.
func (b *bench) args(more ...uint64) []uint64 {
	return append([]uint64{uint64(b.m.Info().Handle), uint64(exec.Addr(b.key))}, more...)
}

// native is the call as instructions.
func (b *bench) native(args ...uint64) uint64 {
	b.eval.steps = 0
	r0, _ := b.eval.run(args...)
	return r0
}

// direct is the call of the helper.
func (b *bench) direct(args ...uint64) uint64 {
	a := [5]uint64(append(args, make([]uint64, 5-len(args))...))
	return b.helper.Func(b.state, a[0], a[1], a[2], a[3], a[4])
}

func (b *bench) setKey(n uint64) {
	for i := range b.key {
		b.key[i] = byte(n >> (8 * (i % 8)))
	}
}

func TestArrayLookup(t *testing.T) {
	for _, typ := range []ebpf.MapType{ebpf.Array, ebpf.PerCPUArray} {
		for _, size := range []uint32{1, 8, 20, 64} {
			t.Run(fmt.Sprintf("%s/%d", typ, size), func(t *testing.T) {
				b := newBench(t, mapLookup, ebpf.MapSpec{Type: typ, KeySize: 4, ValueSize: size, MaxEntries: 10}, 2)
				for _, key := range []uint64{0, 1, 7, 9, 10, 11, 1 << 31, 1<<32 - 1} {
					b.setKey(key)
					if got, want := b.native(b.args()...), b.direct(b.args()...); got != want {
						t.Errorf("index %d: 0x%x, the helper gives 0x%x", key, got, want)
					}
				}
				if b.left != 0 {
					t.Errorf("went to Go %d times", b.left)
				}
			})
		}
	}
}

func TestArrayLookupPerCPU(t *testing.T) {
	b := newBench(t, mapLookupPerCPU, ebpf.MapSpec{Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: 12, MaxEntries: 10}, 1)
	for _, key := range []uint64{0, 9, 10} {
		for _, cpu := range []uint64{0, 2, 3, 1 << 32, 1<<32 + 3, 1<<32 - 1} {
			b.setKey(key)
			if got, want := b.native(b.args(cpu)...), b.direct(b.args(cpu)...); got != want {
				t.Errorf("index %d, CPU %d: 0x%x, the helper gives 0x%x", key, cpu, got, want)
			}
		}
	}
	if b.left != 0 {
		t.Errorf("went to Go %d times", b.left)
	}
}

// TestNullTest looks a key up and gives 1 where there is a value, behind
// instructions between.
func TestNullTest(t *testing.T) {
	b := newBench(t, mapLookup, ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 10}, 0,
		Block{Ins: []Ins{number(7, 5), mov(6, 0), branch(6, Ne, 0)}, Succ: [2]int32{2, 1}},
		Block{Ins: []Ins{number(0, 0), add(0, 0, 7), ret()}, Succ: [2]int32{-1, -1}},
		Block{Ins: []Ins{number(0, 1), add(0, 0, 7), ret()}, Succ: [2]int32{-1, -1}},
	)
	tests := 0
	for i := range b.eval.prog.Funcs[0].Blocks {
		if b.eval.prog.Funcs[0].Blocks[i].End().Op == Branch {
			tests++
		}
	}
	if tests != 1 {
		t.Errorf("%d conditions are left, want the index's only", tests)
	}
	for key, want := range map[uint64]uint64{9: 6, 10: 5} {
		b.setKey(key)
		if got := b.native(b.args()...); got != want {
			t.Errorf("index %d: %d, want %d", key, got, want)
		}
	}
}

func TestArrayUpdate(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, typ := range []ebpf.MapType{ebpf.Array, ebpf.PerCPUArray} {
		for _, size := range []uint32{1, 3, 8, 23, 64, 65} {
			t.Run(fmt.Sprintf("%s/%d", typ, size), func(t *testing.T) {
				spec := ebpf.MapSpec{Type: typ, KeySize: 4, ValueSize: size, MaxEntries: 10}
				native, direct := newBench(t, mapUpdate, spec, 2), newBench(t, mapUpdate, spec, 2)
				for range 200 {
					key, flags := uint64(rng.IntN(12)), uint64(max(0, rng.IntN(10)-5))
					native.setKey(key)
					direct.setKey(key)
					for i := range native.value {
						native.value[i] = byte(rng.Uint32())
					}
					copy(direct.value, native.value)
					got := native.native(native.args(uint64(exec.Addr(native.value)), flags)...)
					want := direct.direct(direct.args(uint64(exec.Addr(direct.value)), flags)...)
					if got != want {
						t.Fatalf("index %d, flags %d: %d, the helper gives %d", key, flags, int64(got), int64(want))
					}
				}
				memory := func(b *bench) string {
					v := b.m.Info().Values
					return string(mem.View(v.Base, int(v.Stride)*int(v.N)))
				}
				if memory(native) != memory(direct) {
					t.Error("the values are others than the helper's")
				}
			})
		}
	}
}

// TestHashLookup looks up keys that are there, and others, of all lengths, in tables
// that are empty, half full and full.
func TestHashLookup(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, typ := range []ebpf.MapType{ebpf.Hash, ebpf.LRUHash, ebpf.PerCPUHash, ebpf.LRUCPUHash} {
		for size := uint32(1); size <= maxNativeKey; size++ {
			n := []uint32{1, 8, 200, 5000}[size%4]
			spec := ebpf.MapSpec{Type: typ, KeySize: size, ValueSize: 12, MaxEntries: n}
			b := newBench(t, mapLookup, spec, 2)
			hits := 0
			for i := range 150 {
				b.setKey(rng.Uint64N(uint64(min(n, 100))*2) * 0x9e3779b97f4a7c15 >> rng.IntN(2))
				got, want := b.native(b.args()...), b.direct(b.args()...)
				if got != want {
					t.Fatalf("%s, %d bytes: key %x: 0x%x, the helper gives 0x%x", typ, size, b.key, got, want)
				}
				if got != 0 {
					hits++
				}
				if i%3 != 0 {
					_ = b.m.Update(0, b.key, b.value, 0) // of a full map: nothing
				}
			}
			if hits == 0 || b.left > 10 {
				t.Errorf("%s, %d bytes: %d hits, went to Go %d times", typ, size, hits, b.left)
			}
		}
	}
}

// TestLookupOfMaps looks maps up in maps.
func TestLookupOfMaps(t *testing.T) {
	inner := ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1}
	held, err := maps.New(&inner, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	for _, typ := range []ebpf.MapType{ebpf.ArrayOfMaps, ebpf.HashOfMaps} {
		b := newBench(t, mapLookup, ebpf.MapSpec{Type: typ, KeySize: 4, ValueSize: 4, MaxEntries: 3, InnerMap: &inner}, 0)
		b.setKey(1)
		if err := b.m.UserUpdate(b.key, binary.NativeEndian.AppendUint32(nil, uint32(held.Info().Handle)), 0); err != nil {
			t.Fatal(err)
		}
		for key, want := range []maps.Handle{0, held.Info().Handle, 0, 0} {
			b.setKey(uint64(key))
			if got := b.native(b.args()...); got != uint64(want) || b.left != 0 {
				t.Errorf("%s, key %d: %d, want %d; went to Go %d times", typ, key, got, want, b.left)
			}
		}
	}
}

// TestLookupInSeveral calls the helper with one of two maps that are known, and with
// another one.
func TestLookupInSeveral(t *testing.T) {
	spec := ebpf.MapSpec{Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 8}
	var all []maps.Map
	for range 3 {
		m, err := maps.New(&spec, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if err := m.Update(0, []byte{1, 0, 0, 0}, make([]byte, 8), 0); err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	state, err := exec.NewState(0)
	if err != nil {
		t.Fatal(err)
	}
	key, h, left := state.CtxBytes()[:4], helper.ByID(mapLookup), 0
	p := &Program{Funcs: []*Func{{Vars: FirstFree, Blocks: []Block{
		{Ins: []Ins{leave(2), ret()}, Succ: [2]int32{-1, -1}},
	}}}}
	p.Expand(&Calls{
		Helpers: []*helper.Helper{h}, Maps: all,
		Several: func(int32) []int { return []int{0, 2} },
	})
	e := evaluator{t: t, prog: p, outside: func(_ *Ins, a [5]uint64) uint64 {
		left++
		return h.Func(state, a[0], a[1], 0, 0, 0)
	}}
	for n, wantLeft := range []int{0, 1, 1} {
		for k := range byte(3) {
			key[0] = k
			got, _ := e.run(uint64(all[n].Info().Handle), uint64(exec.Addr(key)))
			if want := uint64(all[n].Lookup(0, key)); got != want {
				t.Errorf("map %d, key %d: 0x%x, want 0x%x", n, k, got, want)
			}
		}
		if left != 3*wantLeft {
			t.Errorf("map %d: went to Go %d times, want %d", n, left, 3*wantLeft)
		}
	}
}

// TestHashLookupTouches looks one key of an LRU map up between additions that make
// others go.
func TestHashLookupTouches(t *testing.T) {
	b := newBench(t, mapLookup, ebpf.MapSpec{Type: ebpf.LRUHash, KeySize: 4, ValueSize: 8, MaxEntries: 100}, 0)
	add := func(key uint64) {
		b.setKey(key)
		if err := b.m.Update(0, b.key, b.value, 0); err != nil {
			t.Fatal(err)
		}
	}
	add(0)
	for key := range uint64(1000) {
		add(key + 1)
		b.setKey(0)
		if b.native(b.args()...) == 0 {
			t.Fatalf("the key that is used went when key %d came", key+1)
		}
	}
	if b.left != 0 {
		t.Errorf("went to Go %d times", b.left)
	}
}

// TestPrefixLookup looks addresses up in tries with one to three tables, whose prefixes
// cover one another.
func TestPrefixLookup(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for _, size := range []uint32{4, 8, 20, 256} {
		for _, n := range []uint32{100, 1 << 13, 1 << 19} {
			spec := ebpf.MapSpec{Type: ebpf.LPMTrie, KeySize: 4 + size, ValueSize: 8, MaxEntries: n, Flags: maps.FlagNoPrealloc}
			b := newBench(t, mapLookup, spec, 0)
			setKey := func() {
				binary.NativeEndian.PutUint32(b.key, uint32(rng.IntN(int(8*size)+1)))
				for i := range b.key[4:] {
					b.key[4+i] = 0xa5
				}
				for range rng.IntN(4) {
					bit := rng.IntN(int(8 * size))
					b.key[4+bit/8] ^= 1 << (bit % 8)
				}
			}
			hits := 0
			for i := range 1500 {
				setKey()
				if i%5 == 0 && b.m.Update(0, b.key, b.value, 0) != nil {
					b.m.NextKey(nil, b.key)
					b.m.Delete(b.key)
				}
				setKey()
				got, want := b.native(b.args()...), b.direct(b.args()...)
				if got != want {
					t.Fatalf("%d bytes, %d entries: key %x: 0x%x, the helper gives 0x%x", size, n, b.key, got, want)
				}
				if got != 0 {
					hits++
				}
			}
			binary.NativeEndian.PutUint32(b.key, 8*size+1)
			if got := b.native(b.args()...); got != 0 || hits < 100 || b.left != 0 {
				t.Errorf("%d bytes, %d entries: too long a prefix gives 0x%x; %d hits; went to Go %d times", size, n, got, hits, b.left)
			}
		}
	}
}

// TestHashLookupWithWriter has a writer in every bucket: each lookup is for Go.
func TestHashLookupWithWriter(t *testing.T) {
	b := newBench(t, mapLookup, ebpf.MapSpec{Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 1}, 0) // in one bucket
	layout, _ := maps.Native(b.m)
	b.setKey(1)
	if err := b.m.Update(0, b.key, b.value, 0); err != nil {
		t.Fatal(err)
	}
	lock := mem.View(layout.Hash.Buckets, 4)
	lock[0]++
	b.helper = &helper.Helper{Func: func(_ *exec.State, r1, r2, _, _, _ uint64) uint64 {
		if r1 != uint64(b.m.Info().Handle) || r2 != uint64(exec.Addr(b.key)) {
			t.Errorf("the helper is called with 0x%x and 0x%x", r1, r2)
		}
		return 77
	}}
	if got := b.native(b.args()...); got != 77 || b.left != 1 {
		t.Errorf("0x%x, went to Go %d times", got, b.left)
	}
	lock[0]++
	if got := b.native(b.args()...); got == 77 || b.left != 1 {
		t.Errorf("0x%x, went to Go %d times", got, b.left)
	}
}

func TestProcessorID(t *testing.T) {
	b := newBench(t, processorID, ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1}, 2)
	if got := b.native(0, 0); got != 2 || b.left != 0 {
		t.Errorf("%d, went to Go %d times; want 2 and never", got, b.left)
	}
}

// TestRandom counts how often each bit is set.
func TestRandom(t *testing.T) {
	b := newBench(t, randomU32, ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1}, 0)
	seed := b.state.CtxBytes()[1024+abi.OffRandom:]
	binary.NativeEndian.PutUint64(seed, 1)
	const n = 4096
	ones, seen := [64]int{}, map[uint64]bool{}
	for range n {
		got := b.native()
		seen[got] = true
		for bit := range ones {
			ones[bit] += int(got >> bit & 1)
		}
	}
	for bit, count := range ones {
		switch {
		case bit < 32 && (count < n*45/100 || count > n*55/100), bit >= 32 && count != 0:
			t.Errorf("bit %d is set in %d of %d numbers", bit, count, n)
		}
	}
	if len(seen) < n-8 || b.left != 0 {
		t.Errorf("%d different numbers of %d, went to Go %d times", len(seen), n, b.left)
	}
	binary.NativeEndian.PutUint64(seed, 0)
	if b.native(); b.left != 1 {
		t.Error("makes numbers where they are the embedder's")
	}
}
