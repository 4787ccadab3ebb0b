package maps

import (
	"iter"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
)

// cpuMap is BPF_MAP_TYPE_CPUMAP. A queue's length is kept and has no effect.
type cpuMap struct{ targets }

const (
	maxCPUs   = 8192  // NR_CPUS of the largest configuration
	maxQueue  = 16384 // of a CPU, in packets
	maxHashed = 1 << 31
)

func checkCPUMap(spec *ebpf.MapSpec) error {
	if err := checkTargets(spec); err != nil {
		return err
	}
	if spec.MaxEntries > maxCPUs {
		return refuse(errno.E2BIG, "max_entries is %d, and Linux has at most %d CPUs", spec.MaxEntries, maxCPUs)
	}
	return nil
}

func checkDevMapHash(spec *ebpf.MapSpec) error {
	if spec.MaxEntries > maxHashed {
		return refuse(errno.EINVAL, "max_entries is %d, and may be at most %d", spec.MaxEntries, maxHashed)
	}
	return checkTargets(spec)
}

func newCPUMap(info Info) (Map, error) {
	c := &cpuMap{}
	c.init(info, c)
	c.attach = ebpf.AttachXDPCPUMap
	return c, c.open()
}

// Target implements Targets: the CPU is the key.
func (c *cpuMap) Target(key uint64) (Target, bool) {
	addr := c.at(uint32(key))
	if addr == 0 {
		return Target{}, false
	}
	t := devTarget(addr, c.info.ValueSize)
	t.To = uint32(key)
	return t, true
}

// All implements Targets.
func (c *cpuMap) All() iter.Seq[Target] {
	return func(yield func(Target) bool) {
		for i := range c.info.MaxEntries {
			if t, ok := c.Target(uint64(i)); ok && !yield(t) {
				return
			}
		}
	}
}

func (c *cpuMap) userUpdate(key, value []byte, flags uint64) error {
	if err := c.checkSet(key, flags); err != nil {
		return err
	}
	switch {
	case u32(value) > maxQueue:
		return errno.EOVERFLOW
	case u32(key) >= uint32(c.info.CPUs):
		return errno.ENODEV
	case u32(value) == 0: // as a deletion, whatever the program
		return c.userDelete(key)
	}
	if checkProg(value, c.attach) != nil {
		return errno.ENOMEM // Linux says so of any entry that it cannot make
	}
	c.set(key, value)
	return nil
}

// xskMap is BPF_MAP_TYPE_XSKMAP. The machine has no AF_XDP sockets, so nothing
// can be put in.
type xskMap struct{ common }

func newXSKMap(info Info) (Map, error) {
	x := &xskMap{}
	x.init(info, x)
	return x, nil
}

// Target implements Targets.
func (x *xskMap) Target(uint64) (Target, bool) { return Target{}, false }

// All implements Targets.
func (x *xskMap) All() iter.Seq[Target] { return func(func(Target) bool) {} }

func (x *xskMap) userLookup([]byte, []byte, uint64) error { return errno.EOPNOTSUPP }

func (x *xskMap) userUpdate(key, _ []byte, flags uint64) error {
	switch {
	case flags > UpdateExist:
		return errno.EINVAL
	case u32(key) >= x.info.MaxEntries:
		return errno.E2BIG
	}
	return errno.EBADF
}

func (x *xskMap) userDelete(key []byte) error {
	if u32(key) >= x.info.MaxEntries {
		return errno.EINVAL
	}
	return nil
}

func (x *xskMap) nextKey(key, next []byte) error { return nextIndex(key, next, x.info.MaxEntries) }
