package maps

import (
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
)

// New makes a map for a machine of cpus CPUs and registers it. It refuses what
// Linux refuses, with the same error number in the chain. It does not put the
// spec's Contents in.
func New(spec *ebpf.MapSpec, cpus int) (Map, error) {
	m, err := build(spec, cpus)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", spec.Name, err)
	}
	Register(m)
	return m, nil
}

// build makes a map without a handle.
func build(spec *ebpf.MapSpec, cpus int) (Map, error) {
	if cpus < 1 {
		return nil, refuse(errno.EINVAL, "a machine of %d CPUs", cpus)
	}
	k, err := kindOf(spec.Type)
	if err != nil {
		return nil, err
	}
	if err := check(spec, k); err != nil {
		return nil, err
	}
	return k.open(Info{
		Name:       spec.Name,
		Type:       spec.Type,
		KeySize:    spec.KeySize,
		ValueSize:  spec.ValueSize,
		MaxEntries: spec.MaxEntries,
		Flags:      spec.Flags,
		Extra:      spec.MapExtra,
		Key:        spec.Key,
		Value:      spec.Value,
		CPUs:       cpus,
		Inner:      spec.InnerMap,
	})
}

// kind is how maps of one type are checked and made.
type kind struct {
	flags uint32 // the flags that the type takes
	check func(*ebpf.MapSpec) error
	open  func(Info) (Map, error)
}

// accessFlags are taken by almost all types.
const accessFlags = FlagRdonly | FlagWronly | FlagRdonlyProg | FlagWronlyProg

func kindOf(t ebpf.MapType) (kind, error) {
	const (
		array  = FlagNumaNode | accessFlags
		hash   = FlagNoPrealloc | FlagNumaNode | FlagZeroSeed | accessFlags
		shared = FlagMmapable | FlagInnerMap
	)
	switch t {
	case ebpf.Array:
		return kind{array | shared, checkArray, newArray}, nil
	case ebpf.PerCPUArray:
		return kind{array &^ FlagNumaNode, checkPerCPUArray, newArray}, nil
	case ebpf.Hash:
		return kind{hash, checkHash, newHash}, nil
	case ebpf.PerCPUHash:
		return kind{hash &^ FlagNumaNode, checkHash, newHash}, nil
	}
	return kind{}, refuse(errno.EINVAL, "the user-space machine has no maps of type %s", t)
}

// refuse is an error that says why and carries an error number.
func refuse(n errno.Errno, format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), n)
}

// check is what Linux asks of a map of any type, and then of its type.
func check(spec *ebpf.MapSpec, k kind) error {
	const rdwr, rdwrProg = FlagRdonly | FlagWronly, FlagRdonlyProg | FlagWronlyProg
	switch {
	case spec.MapExtra != 0 && spec.Type != ebpf.BloomFilter:
		return refuse(errno.EINVAL, "map_extra is %#x, and type %s has no use for it", spec.MapExtra, spec.Type)
	case spec.Flags&rdwr == rdwr:
		return refuse(errno.EINVAL, "flags %#x forbid user space both to read and to write: keep one", spec.Flags)
	case spec.Flags&rdwrProg == rdwrProg:
		return refuse(errno.EINVAL, "flags %#x forbid programs both to read and to write: keep one", spec.Flags)
	case spec.Flags&^k.flags != 0:
		return refuse(errno.EINVAL, "type %s does not take flags %#x", spec.Type, spec.Flags&^k.flags)
	}
	return k.check(spec)
}

// Limits of Linux, in bytes.
const (
	maxAlloc  = 4 << 20  // one piece of kernel memory
	maxPerCPU = 32 << 10 // a per-CPU value
	maxInt    = 1<<31 - 1
)

// checkSizes asks for at least one entry, and a key and a value.
func checkSizes(spec *ebpf.MapSpec) error {
	switch {
	case spec.MaxEntries == 0:
		return refuse(errno.EINVAL, "max_entries is 0, and must be at least 1")
	case spec.KeySize == 0:
		return refuse(errno.EINVAL, "key_size is 0, and must be at least 1")
	case spec.ValueSize == 0:
		return refuse(errno.EINVAL, "value_size is 0, and must be at least 1")
	}
	return nil
}

func checkArray(spec *ebpf.MapSpec) error {
	if err := checkSizes(spec); err != nil {
		return err
	}
	switch {
	case spec.KeySize != 4:
		return refuse(errno.EINVAL, "key_size is %d, and an array's index has 4 bytes", spec.KeySize)
	case spec.ValueSize > maxInt:
		return refuse(errno.E2BIG, "value_size is %d, and may be at most %d", spec.ValueSize, maxInt)
	}
	return nil
}

func checkPerCPUArray(spec *ebpf.MapSpec) error {
	if err := checkArray(spec); err != nil {
		return err
	}
	return checkPerCPU(spec)
}

func checkPerCPU(spec *ebpf.MapSpec) error {
	if roundUp(uint64(spec.ValueSize), 8) > maxPerCPU {
		return refuse(errno.E2BIG, "value_size is %d, and a per-CPU value may have at most %d bytes", spec.ValueSize, maxPerCPU)
	}
	return nil
}

func checkHash(spec *ebpf.MapSpec) error {
	if err := checkSizes(spec); err != nil {
		return err
	}
	const header = 48 // what Linux puts before an element's key
	switch size := uint64(spec.KeySize) + uint64(spec.ValueSize); {
	case size >= maxAlloc-header:
		return refuse(errno.E2BIG, "key and value have %d bytes together, and may have at most %d", size, maxAlloc-header-1)
	case spec.MaxEntries > 1<<31:
		return refuse(errno.E2BIG, "max_entries is %d, and may be at most %d", spec.MaxEntries, 1<<31)
	case spec.MaxEntries > 1<<27:
		return refuse(errno.E2BIG, "max_entries is %d, and Linux has room for the buckets of %d", spec.MaxEntries, 1<<27)
	}
	if spec.Type == ebpf.PerCPUHash || spec.Type == ebpf.LRUCPUHash {
		return checkPerCPU(spec)
	}
	return nil
}
