package maps

import (
	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
)

// Limits of Linux, in bytes.
const (
	maxAlloc  = 4 << 20  // one piece of kernel memory
	maxPerCPU = 32 << 10 // a per-CPU value
	maxInt    = 1<<31 - 1
	// A value in a storage: what Linux puts before it is a part of what it allocates.
	maxStorage = 65535 - 128
	pageSize   = 4096
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

func checkLRU(spec *ebpf.MapSpec) error {
	switch {
	case spec.Flags&FlagNoPrealloc != 0:
		return refuse(errno.ENOTSUPP, "BPF_F_NO_PREALLOC, which an LRU map cannot do without its elements")
	case spec.Flags&FlagNumaNode != 0 && (spec.Flags&FlagNoCommonLRU != 0 || spec.Type == ebpf.LRUCPUHash):
		return refuse(errno.EINVAL, "BPF_F_NUMA_NODE for a map that is divided among the CPUs")
	}
	return checkHash(spec)
}

func checkTrie(spec *ebpf.MapSpec) error {
	const maxValue = maxAlloc - 256 - 40
	if err := checkSizes(spec); err != nil {
		return err
	}
	switch {
	case spec.Flags&FlagNoPrealloc == 0:
		return refuse(errno.EINVAL, "an LPM trie needs BPF_F_NO_PREALLOC in its flags")
	case spec.KeySize < 5 || spec.KeySize > 4+256:
		return refuse(errno.EINVAL, "key_size is %d, and must be 4 bytes of prefix length and 1 to 256 of data", spec.KeySize)
	case spec.ValueSize > maxValue:
		return refuse(errno.EINVAL, "value_size is %d, and may be at most %d", spec.ValueSize, maxValue)
	}
	return nil
}

// checkHandles is for arrays whose values user space writes as numbers.
func checkHandles(spec *ebpf.MapSpec) error {
	if spec.ValueSize != 4 {
		return refuse(errno.EINVAL, "value_size is %d, and must be 4", spec.ValueSize)
	}
	return checkArray(spec)
}

func checkArrayOfMaps(spec *ebpf.MapSpec) error {
	if err := checkHandles(spec); err != nil {
		return err
	}
	return checkInner(spec)
}

func checkHashOfMaps(spec *ebpf.MapSpec) error {
	if spec.ValueSize != 4 {
		return refuse(errno.EINVAL, "value_size is %d, and must be 4", spec.ValueSize)
	}
	if err := checkHash(spec); err != nil {
		return err
	}
	return checkInner(spec)
}

func checkRingbuf(spec *ebpf.MapSpec) error {
	n := spec.MaxEntries
	switch {
	case spec.KeySize != 0 || spec.ValueSize != 0:
		return refuse(errno.EINVAL, "key_size is %d and value_size %d, and a ring buffer has neither", spec.KeySize, spec.ValueSize)
	case n < pageSize || n&(n-1) != 0:
		return refuse(errno.EINVAL, "max_entries is %d, and must be the ring's size in bytes: a power of two from %d", n, pageSize)
	}
	return nil
}

func checkQueue(spec *ebpf.MapSpec) error {
	switch {
	case spec.MaxEntries == 0:
		return refuse(errno.EINVAL, "max_entries is 0, and must be at least 1")
	case spec.KeySize != 0:
		return refuse(errno.EINVAL, "key_size is %d, and type %s has no keys", spec.KeySize, spec.Type)
	case spec.ValueSize == 0:
		return refuse(errno.EINVAL, "value_size is 0, and must be at least 1")
	case spec.ValueSize > maxAlloc:
		return refuse(errno.E2BIG, "value_size is %d, and may be at most %d", spec.ValueSize, maxAlloc)
	}
	return nil
}

func checkBloom(spec *ebpf.MapSpec) error {
	if spec.MapExtra&^15 != 0 {
		return refuse(errno.EINVAL, "map_extra is %#x, and must be the number of hash functions: up to 15", spec.MapExtra)
	}
	return checkQueue(spec)
}
