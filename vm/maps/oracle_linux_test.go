package maps

import (
	"math"
	"runtime"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/testenv"
)

// oracle is a map of the running kernel behind the user-space half of Map. It
// calls bpf() itself, so that it gives the kernel's own error numbers.
type oracle struct {
	fd        int
	valueSize int
}

func bpf(cmd int, attr unsafe.Pointer, size uintptr) (int, error) {
	r, _, e := unix.Syscall(unix.SYS_BPF, uintptr(cmd), uintptr(attr), size)
	if e != 0 {
		return -1, errno.Errno(e)
	}
	return int(r), nil
}

// newOracle makes the map of a spec in the kernel; inner is the file descriptor
// of the template of a map of maps.
func newOracle(spec *ebpf.MapSpec, inner int) (*oracle, error) {
	var attr struct {
		typ, key, value, max, flags, inner, numa uint32
		name                                     [16]byte
		ifindex, btf, btfKey, btfValue, vmlinux  uint32
		extra                                    uint64
	}
	attr.typ, attr.key, attr.value = uint32(spec.Type), spec.KeySize, spec.ValueSize
	attr.max, attr.flags, attr.extra = spec.MaxEntries, spec.Flags, spec.MapExtra
	if inner > 0 {
		attr.inner = uint32(inner)
	}
	if spec.Value != nil {
		handle, key, value, err := btf.MarshalMapKV(spec.Key, spec.Value)
		if err != nil {
			return nil, err
		}
		defer handle.Close()
		attr.btf, attr.btfKey, attr.btfValue = uint32(handle.FD()), uint32(key), uint32(value)
	}
	fd, err := bpf(unix.BPF_MAP_CREATE, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	if err != nil {
		return nil, err
	}
	info := Info{Type: spec.Type, ValueSize: spec.ValueSize, CPUs: possibleCPUs()}
	return &oracle{fd, info.UserValueSize()}, nil
}

func possibleCPUs() int { return ebpf.MustPossibleCPU() }

func (o *oracle) elem(cmd int, key, value []byte, flags uint64) error {
	var attr struct {
		fd, _             uint32
		key, value, flags uint64
	}
	attr.fd, attr.flags = uint32(o.fd), flags
	attr.key = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(key))))
	attr.value = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(value))))
	if len(key) == 0 {
		attr.key = 0
	}
	_, err := bpf(cmd, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	for n := 0; err == errno.EAGAIN && n < 1000; n++ { // a storage that is still being taken down
		runtime.Gosched()
		_, err = bpf(cmd, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	}
	runtime.KeepAlive(key)
	runtime.KeepAlive(value)
	return err
}

func (o *oracle) UserLookup(key, value []byte, flags uint64) error {
	return o.elem(unix.BPF_MAP_LOOKUP_ELEM, key, value, flags)
}

func (o *oracle) UserUpdate(key, value []byte, flags uint64) error {
	return o.elem(unix.BPF_MAP_UPDATE_ELEM, key, value, flags)
}

func (o *oracle) UserDelete(key []byte) error {
	return o.elem(unix.BPF_MAP_DELETE_ELEM, key, nil, 0)
}

func (o *oracle) LookupAndDelete(key, value []byte, flags uint64) error {
	return o.elem(unix.BPF_MAP_LOOKUP_AND_DELETE_ELEM, key, value, flags)
}

func (o *oracle) NextKey(key, next []byte) error {
	return o.elem(unix.BPF_MAP_GET_NEXT_KEY, key, next, 0)
}

func (o *oracle) Freeze() error { return o.elem(unix.BPF_MAP_FREEZE, nil, nil, 0) }

func (o *oracle) Close() error { return unix.Close(o.fd) }

// TestNewLikeTheKernel holds New's error numbers against the kernel's, for specs
// that are wrong in one or two places.
func TestNewLikeTheKernel(t *testing.T) {
	testenv.KernelFrom(t, 6, 12, "some map types and flags were not there yet")
	types := []ebpf.MapType{
		ebpf.Hash, ebpf.Array, ebpf.PerCPUHash, ebpf.PerCPUArray, ebpf.LRUHash, ebpf.LRUCPUHash,
		ebpf.LPMTrie, ebpf.ProgramArray, ebpf.PerfEventArray, ebpf.RingBuf, ebpf.Queue, ebpf.Stack,
		ebpf.BloomFilter, ebpf.ArrayOfMaps, ebpf.HashOfMaps,
		ebpf.DevMap, ebpf.DevMapHash, ebpf.CPUMap, ebpf.XSKMap,
		ebpf.UserRingbuf, ebpf.StackTrace, ebpf.CGroupArray, ebpf.SockMap, ebpf.SockHash, ebpf.ReusePortSockArray,
		ebpf.CGroupStorage, ebpf.PerCPUCGroupStorage, ebpf.SkStorage, ebpf.InodeStorage, ebpf.TaskStorage, ebpf.CgroupStorage,
	}
	keys := []uint32{0, 1, 4, 8, 20, 260, 261, 600}
	values := []uint32{0, 1, 4, 8, 17, 32 << 10, 32<<10 + 1}
	sizes := []uint32{0, 1, 3, 4096, 5000, 8192}
	flags := []uint32{0}
	for bit := range 13 {
		flags = append(flags, 1<<bit, 1<<bit|FlagNoPrealloc)
	}
	flags = append(flags, FlagRdonly|FlagWronly, FlagRdonlyProg|FlagWronlyProg, FlagNoCommonLRU|FlagRdonly)

	template := &ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1}
	inner, err := newOracle(template, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()

	n := 0
	try := func(spec *ebpf.MapSpec) {
		if spec.Type == ebpf.CPUMap && spec.MaxEntries >= 4096 {
			return // how many CPUs a kernel is built for differs
		}
		n++
		if needsBTF(spec.Type) {
			spec.Key = &btf.Int{Name: "int", Size: 4}
			spec.Value = &btf.Array{Index: u32Type, Type: &btf.Int{Name: "char", Size: 1}, Nelems: spec.ValueSize}
		}
		o, kerr := newOracle(spec, inner.fd)
		if kerr == nil {
			o.Close()
		}
		if spec.Type == ebpf.ArrayOfMaps || spec.Type == ebpf.HashOfMaps {
			spec.InnerMap = template
		}
		m, err := New(spec, possibleCPUs())
		if err == nil {
			m.Close()
		}
		if errnoOf(err) != errnoOf(kerr) {
			t.Errorf("%v: ours %v, the kernel's %v", spec, err, kerr)
		}
	}
	for _, typ := range types {
		good := goodSpec(typ)
		for _, key := range keys {
			for _, value := range values {
				s := good
				s.KeySize, s.ValueSize = key, value
				try(&s)
			}
			for _, size := range sizes {
				s := good
				s.KeySize, s.MaxEntries = key, size
				try(&s)
			}
		}
		for _, f := range flags {
			for _, size := range []uint32{0, good.MaxEntries} {
				s := good
				s.Flags, s.MaxEntries = f, size
				try(&s)
				s.Flags |= good.Flags
				try(&s)
			}
		}
		for _, extra := range []uint64{1, 15, 16, math.MaxUint64} {
			s := good
			s.MapExtra = extra
			try(&s)
		}
		for _, value := range []uint32{65407, 65408, 4<<20 - 600, 4<<20 - 400, 4<<20 - 300, 4<<20 - 64, 4<<20 - 53, 4<<20 - 52, 4<<20 - 51, 4<<20 - 20, 4 << 20, 4<<20 + 1, maxInt, maxInt + 1} {
			s := good
			s.ValueSize = value
			if value > 4<<20+1 && typ == ebpf.Array {
				continue // the kernel has not enough memory
			}
			try(&s)
		}
	}
	t.Logf("%d specs", n)
}
