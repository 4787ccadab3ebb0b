package maps

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/testenv"
)

var (
	sequences = flag.Int("sequences", 300, "random sequences of operations for each map type")
	seed      = flag.Uint64("seed", 0, "seed of the first sequence; 0: SKEP_SEED, or chance")
)

// userMap is the half of Map that the kernel has, too.
type userMap interface {
	UserLookup(key, value []byte, flags uint64) error
	UserUpdate(key, value []byte, flags uint64) error
	UserDelete(key []byte) error
	LookupAndDelete(key, value []byte, flags uint64) error
	NextKey(key, next []byte) error
	Freeze() error
	Close() error
}

// trial is how a type is tested.
type trial struct {
	name      string
	specs     []ebpf.MapSpec
	keys      func(*ebpf.MapSpec, *rand.Rand) [][]byte // what keys are drawn from
	unordered bool                                     // NextKey's order is the map's own
	objects   *objects                                 // what keys or values stand for, nil for none
}

func variants(typ ebpf.MapType, change ...func(*ebpf.MapSpec)) []ebpf.MapSpec {
	specs := []ebpf.MapSpec{goodSpec(typ)}
	for _, f := range change {
		s := goodSpec(typ)
		f(&s)
		specs = append(specs, s)
	}
	return specs
}

// withFlags are the variants that every type should have: what user space may
// not do.
func withFlags(specs []ebpf.MapSpec) []ebpf.MapSpec {
	for _, f := range []uint32{FlagRdonly, FlagWronly} {
		s := specs[0]
		s.Flags |= f
		specs = append(specs, s)
	}
	return specs
}

func sizes(key, value, entries uint32) func(*ebpf.MapSpec) {
	return func(s *ebpf.MapSpec) { s.KeySize, s.ValueSize, s.MaxEntries = key, value, entries }
}

func indexes(s *ebpf.MapSpec, _ *rand.Rand) (keys [][]byte) {
	for _, i := range []uint32{0, 1, s.MaxEntries / 2, s.MaxEntries - 1, s.MaxEntries, ^uint32(0)} {
		keys = append(keys, binary.NativeEndian.AppendUint32(nil, i))
	}
	return keys
}

func bytesKeys(s *ebpf.MapSpec, r *rand.Rand) (keys [][]byte) {
	for range 7 {
		keys = append(keys, randomBytes(r, int(s.KeySize)))
	}
	return append(keys, make([]byte, s.KeySize))
}

func noKeys(*ebpf.MapSpec, *rand.Rand) [][]byte { return [][]byte{nil} }

func randomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// prefixes are keys of an LPM trie that cover one another, and one that is too
// long.
func prefixes(s *ebpf.MapSpec, r *rand.Rand) (keys [][]byte) {
	n := s.KeySize - 4
	base := randomBytes(r, int(n))
	for i := range 12 {
		key := binary.NativeEndian.AppendUint32(nil, r.Uint32N(n*8+1))
		key = append(key, base...)
		for range r.IntN(3) {
			bit := r.IntN(int(n * 8))
			key[4+bit/8] ^= 1 << (bit % 8)
		}
		if i == 0 && r.IntN(2) == 0 {
			binary.NativeEndian.PutUint32(key, n*8+1)
		}
		keys = append(keys, key)
	}
	return keys
}

func queues(typ ebpf.MapType) []ebpf.MapSpec {
	return withFlags(variants(typ, sizes(0, 1, 1), sizes(0, 9, 3), sizes(0, 100, 2)))
}

// hashes are the shapes of hash maps; the LRU ones are so large that nothing is
// evicted.
func hashes(typ ebpf.MapType) []ebpf.MapSpec {
	n := uint32(4)
	if typ == ebpf.LRUHash || typ == ebpf.LRUCPUHash {
		n = 1024
	}
	return withFlags(variants(typ,
		sizes(4, 4, n), sizes(8, 8, n), sizes(1, 1, n), sizes(16, 24, n), sizes(13, 7, n), sizes(40, 12, n), sizes(3, 9, n/4),
	)[1:])
}

func trials() []trial {
	noPrealloc := func(typ ebpf.MapType) []ebpf.MapSpec {
		specs := hashes(typ)
		for _, s := range specs[:3] {
			s.Flags |= FlagNoPrealloc
			specs = append(specs, s)
		}
		return specs
	}
	locked := structOf("locked", u32Type, opaque("bpf_spin_lock"), u64Type)
	timed := structOf("timed", u64Type, opaque("bpf_timer"), opaque("bpf_wq"), u32Type, opaque("bpf_refcount"))
	arrays := variants(ebpf.Array, sizes(4, 1, 1), sizes(4, 9, 5), sizes(4, 64, 300))
	arrays = append(arrays, withValue(ebpf.Array, locked), withValue(ebpf.Array, timed))
	hashed := append(noPrealloc(ebpf.Hash), withValue(ebpf.Hash, locked), withValue(ebpf.Hash, timed))
	return []trial{
		{"array", withFlags(arrays), indexes, false, nil},
		{"percpu_array", withFlags(variants(ebpf.PerCPUArray, sizes(4, 1, 1), sizes(4, 9, 5), sizes(4, 64, 30))), indexes, false, nil},
		{"hash", hashed, bytesKeys, true, nil},
		{"percpu_hash", noPrealloc(ebpf.PerCPUHash), bytesKeys, true, nil},
		{"lru_hash", hashes(ebpf.LRUHash), bytesKeys, true, nil},
		{"lru_percpu_hash", hashes(ebpf.LRUCPUHash), bytesKeys, true, nil},
		{"lpm_trie", withFlags(variants(ebpf.LPMTrie, sizes(5, 1, 2), sizes(8, 8, 100), sizes(8, 4, 6), sizes(20, 3, 50), sizes(29, 30, 9))), prefixes, false, nil},
		{"queue", queues(ebpf.Queue), noKeys, true, nil},
		{"stack", queues(ebpf.Stack), noKeys, true, nil},
		{"bloom_filter", withFlags(variants(ebpf.BloomFilter, sizes(0, 8, 1000), sizes(0, 5, 2000))[1:]), noKeys, true, nil},
		{"prog_array", withFlags(variants(ebpf.ProgramArray)), indexes, false, nil},
		{"perf_event_array", withFlags(variants(ebpf.PerfEventArray)), indexes, false, nil},
		{"ringbuf", variants(ebpf.RingBuf), noKeys, false, nil},
		{"user_ringbuf", variants(ebpf.UserRingbuf), noKeys, false, nil},
		{"stack_trace", withFlags(variants(ebpf.StackTrace, sizes(4, 8, 1), sizes(4, 1016, 5))), indexes, false, nil},
		{"cgroup_storage", withFlags(variants(ebpf.CGroupStorage, sizes(8, 8, 0))), bytesKeys, true, nil},
		{"percpu_cgroup_storage", withFlags(variants(ebpf.PerCPUCGroupStorage, sizes(8, 8, 0))), bytesKeys, true, nil},
		{"sk_storage", storages(ebpf.SkStorage), nil, true, &objects{open: udpSockets}},
		{"task_storage", storages(ebpf.TaskStorage), nil, true, &objects{open: processes}},
		{"inode_storage", storages(ebpf.InodeStorage), nil, true, &objects{open: files}},
		{"cgrp_storage", storages(ebpf.CgroupStorage), nil, true, &objects{open: cgroups}},
		{"cgroup_array", withFlags(variants(ebpf.CGroupArray)), indexes, false, &objects{open: cgroups, values: true}},
		{"sockmap", withFlags(variants(ebpf.SockMap, sizes(4, 4, 3))), indexes, false, &objects{open: udpSockets, values: true}},
		{"sockhash", withFlags(variants(ebpf.SockHash, sizes(4, 4, 3), sizes(13, 8, 3))), bytesKeys, true, &objects{open: udpSockets, values: true}},
		{"reuseport_sockarray", withFlags(variants(ebpf.ReusePortSockArray, sizes(4, 4, 3))), indexes, false, &objects{open: reusePort, values: true, fresh: true}},
	}
}

// TestLikeTheKernel runs the same random operations on a map of the kernel and
// on ours.
func TestLikeTheKernel(t *testing.T) {
	testenv.KernelFollowed(t, "wrong arguments give other error numbers")
	first := *seed
	if first == 0 {
		first = testenv.Seed(t) >> 32
	}
	for _, tr := range trials() {
		t.Run(tr.name, func(t *testing.T) {
			for i := range *sequences {
				s := first + uint64(i)
				if diff := tr.run(t, s); diff != "" {
					t.Fatalf("seed %d (-seed %[1]d -sequences 1):\n%s", s, diff)
				}
			}
		})
	}
}

// run is one sequence; it gives what was done where the maps differ.
func (tr *trial) run(t *testing.T, seed uint64) string {
	r := rand.New(rand.NewPCG(seed, 0))
	spec := tr.specs[r.IntN(len(tr.specs))]
	kernel, err := newOracle(&spec, -1)
	if err != nil {
		t.Fatalf("%v: %v", &spec, err)
	}
	defer kernel.Close()
	ours, err := New(&spec, possibleCPUs())
	if err != nil {
		t.Fatalf("%v: %v", &spec, err)
	}
	defer ours.Close()

	s := &sequence{trial: tr, r: r, kernel: kernel, ours: ours}
	s.open(t, &spec)
	fmt.Fprintf(&s.log, "%v\n", &spec)
	for range 50 {
		if s.step() {
			return s.log.String()
		}
	}
	want, got := s.all(kernel), s.all(ours)
	if diff := cmp.Diff(want, got); diff != "" {
		fmt.Fprintf(&s.log, "contents (-kernel +ours):\n%s", diff)
		return s.log.String()
	}
	return ""
}

// open draws the keys, and opens the objects that keys or values stand for.
func (s *sequence) open(t *testing.T, spec *ebpf.MapSpec) {
	if s.objects != nil {
		s.opened = s.objects.get(t)
	}
	if s.trial.keys != nil {
		s.keys = s.trial.keys(spec, s.r)
		return
	}
	for _, fd := range s.opened {
		s.keys = append(s.keys, le32(uint32(fd)))
	}
}

// value is something to write.
func (s *sequence) value(size int) []byte {
	if s.ours.Info().Type == ebpf.BloomFilter { // few, so that what is asked for was pushed
		return bytes.Repeat([]byte{byte(s.r.IntN(4))}, size)
	}
	if s.values != nil {
		return s.values(s.r, size)
	}
	if s.objects == nil || !s.objects.values {
		return randomBytes(s.r, size)
	}
	return le64(uint64(s.opened[s.r.IntN(len(s.opened))]))[:size]
}

type sequence struct {
	*trial
	r      *rand.Rand
	kernel *oracle
	ours   Map
	keys   [][]byte
	values func(*rand.Rand, int) []byte // nil: any bytes
	opened []int                        // file descriptors, which are the objects' numbers here
	log    strings.Builder
	// noPadding leaves out what lies between per-CPU values: a program's update
	// copies whatever is behind its value there in Linux.
	noPadding bool
}

// step does one operation on both maps and reports whether they differ.
func (s *sequence) step() bool {
	key := s.keys[s.r.IntN(len(s.keys))]
	size := s.ours.Info().UserValueSize()
	flags := uint64(0)
	if s.r.IntN(3) == 0 {
		flags = []uint64{1, 2, 3, 4, 5, 6, 8, 1 << 32}[s.r.IntN(8)]
		if flags&FlagCPU != 0 && s.ours.Info().PerCPU() {
			flags = 0 // Linux takes it from 7.0 on
		}
	}
	out := max(size, len(key))
	a, b := make([]byte, out), make([]byte, out)
	var op string
	var do func(m userMap, buf []byte) error
	switch n := s.r.IntN(100); {
	case n < 40:
		op = "update"
		value := s.value(size)
		do = func(m userMap, _ []byte) error { return m.UserUpdate(key, value, flags) }
	case n < 60:
		op = "lookup"
		flags = flags / 2 // most often 0
		in := make([]byte, size)
		if s.ours.Info().Type == ebpf.BloomFilter {
			in = s.value(size) // the question
		}
		do = func(m userMap, buf []byte) error { return m.UserLookup(key, buf[:copy(buf, in)], flags) }
	case n < 75:
		op = "delete"
		do = func(m userMap, _ []byte) error { return m.UserDelete(key) }
	case n < 87:
		op = "lookup and delete"
		flags = flags / 2
		do = func(m userMap, buf []byte) error { return m.LookupAndDelete(key, buf[:size], flags) }
	case n < 99 || s.r.IntN(3) != 0:
		op = "next key"
		if s.r.IntN(4) == 0 || s.unordered {
			key = nil
		}
		do = func(m userMap, buf []byte) error {
			err := m.NextKey(key, buf[:s.ours.Info().KeySize])
			if s.unordered {
				clear(buf)
			}
			return err
		}
	default:
		op = "freeze"
		do = func(m userMap, _ []byte) error { return m.Freeze() }
	}
	want, got := do(s.kernel, a), do(s.ours, b)
	if op == "lookup" && s.objects != nil && s.objects.values {
		clear(a) // an object's id or cookie
		clear(b)
	}
	s.mask(a)
	s.mask(b)
	fmt.Fprintf(&s.log, "%s key %x flags %d: kernel %v %x, ours %v %x\n", op, key, flags, want, a, got, b)
	return errnoOf(want) != errnoOf(got) || want == nil && !bytes.Equal(a, b)
}

// mask clears the padding of per-CPU values.
func (s *sequence) mask(value []byte) {
	info := s.ours.Info()
	if !s.noPadding || !info.PerCPU() || len(value) < info.UserValueSize() {
		return
	}
	size := info.UserValueSize() / info.CPUs
	for cpu := range info.CPUs {
		clear(value[cpu*size+int(info.ValueSize) : (cpu+1)*size])
	}
}

// all reads a map key by key.
func (s *sequence) all(m userMap) (content []string) {
	info := s.ours.Info()
	var key []byte
	for range 10000 {
		next := make([]byte, info.KeySize)
		if err := m.NextKey(key, next); err != nil {
			content = append(content, fmt.Sprintf("then %v", err))
			break
		}
		value := make([]byte, info.UserValueSize())
		err := m.UserLookup(next, value, 0)
		s.mask(value)
		if s.objects != nil && s.objects.values {
			clear(value)
		}
		content = append(content, fmt.Sprintf("%x: %x %v", next, value, err))
		key = next
	}
	if s.unordered {
		slices.Sort(content)
	}
	return content
}
