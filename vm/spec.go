package vm

import (
	"fmt"
	"math/bits"

	"github.com/cilium/ebpf"
)

const pageSize = uint32(4096)

// completed gives spec with what object files leave open filled in, as
// cilium/ebpf and libbpf do before they create a map: sizes that can only be 4,
// one entry a CPU, a ring's size as a power of two pages. spec stays as it is.
func completed(spec *ebpf.MapSpec) (*ebpf.MapSpec, error) {
	c := *spec
	switch c.Type {
	case ebpf.ArrayOfMaps, ebpf.HashOfMaps:
		if err := four(&c.ValueSize, "value_size", c.Type); err != nil {
			return nil, err
		}
		if c.InnerMap != nil {
			inner, err := completed(c.InnerMap)
			if err != nil {
				return nil, fmt.Errorf("inner map: %w", err)
			}
			c.InnerMap = inner
		}
	case ebpf.PerfEventArray:
		if err := four(&c.KeySize, "key_size", c.Type); err != nil {
			return nil, err
		}
		if err := four(&c.ValueSize, "value_size", c.Type); err != nil {
			return nil, err
		}
		onePerCPU(&c.MaxEntries)
	case ebpf.CPUMap:
		onePerCPU(&c.MaxEntries)
	case ebpf.RingBuf, ebpf.UserRingbuf:
		c.MaxEntries = ringSize(c.MaxEntries)
	}
	return &c, nil
}

// four sets a size that was left out.
func four(size *uint32, name string, t ebpf.MapType) error {
	if *size != 0 && *size != 4 {
		return fmt.Errorf("%s is %d, and must be 4 (or left out) for type %s", name, *size, t)
	}
	*size = 4
	return nil
}

// onePerCPU sets a number of entries that was left out, or is meant to be enough
// for any machine.
func onePerCPU(n *uint32) {
	if cpus := uint32(PossibleCPU()); *n == 0 || *n > cpus {
		*n = cpus
	}
}

// ringSize rounds a ring's size up to pages, a power of two of them. What no such
// number of 32 bits reaches stays, and is refused.
func ringSize(n uint32) uint32 {
	if n == 0 || n > 1<<31 {
		return n
	}
	return max(pageSize, 1<<uint32(bits.Len32(n-1)))
}
