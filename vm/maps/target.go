package maps

import (
	"iter"
	"sync/atomic"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
)

// Target is where a map sends packets.
type Target struct {
	To   uint32 // an interface's index, or a CPU
	Prog uint32 // the number of the program that runs there first; 0: none
}

// Targets is a map of places that packets are sent to: a devmap, a cpumap or an
// xskmap, as bpf_redirect_map sees it.
type Targets interface {
	Map
	// Target gives what stands at a key, and reports whether there is anything.
	// As in Linux only the key's lower 32 bits count.
	Target(key uint64) (Target, bool)
	// All gives every target, in NextKey's order.
	All() iter.Seq[Target]
}

// XDPProgram is what a map that runs programs on its packets asks of them; what
// [RegisterProg] was given may be one.
type XDPProgram interface {
	Kind() (ebpf.ProgramType, ebpf.AttachType)
}

// checkTargets is for maps whose values are the number of a place and, if they
// have 8 bytes, of a program.
func checkTargets(spec *ebpf.MapSpec) error {
	switch {
	case spec.MaxEntries == 0:
		return refuse(errno.EINVAL, "max_entries is 0, and must be at least 1")
	case spec.KeySize != 4:
		return refuse(errno.EINVAL, "key_size is %d, and must be 4", spec.KeySize)
	case spec.ValueSize != 4 && (spec.ValueSize != 8 || spec.Type == ebpf.XSKMap):
		return refuse(errno.EINVAL, "value_size is %d, and must be 4, or 8 with a program (devmap, cpumap)", spec.ValueSize)
	}
	return nil
}

// targets is an array of targets, as programs see them: struct bpf_devmap_val or
// struct bpf_cpumap_val. A first word of 0 is none.
type targets struct {
	common
	attach ebpf.AttachType // what programs in it must be loaded for
}

const targetStride = 8

func (t *targets) open() error {
	n := uint64(t.info.MaxEntries)
	if err := t.reserve(n * targetStride); err != nil {
		return err
	}
	return t.setValues(t.mem.Addr(), targetStride, n)
}

// at is the address of the value at a key, or 0.
func (t *targets) at(i uint32) uintptr {
	if i >= t.info.MaxEntries {
		return 0
	}
	if addr := t.info.Values.Addr(i); loadU32(addr) != 0 {
		return addr
	}
	return 0
}

// Lookup implements Map.
func (t *targets) Lookup(_ int, key []byte) uintptr { return t.at(u32(key)) }

// checkSet holds an update against the map, in Linux's order.
func (t *targets) checkSet(key []byte, flags uint64) error {
	switch {
	case flags > UpdateExist:
		return errno.EINVAL
	case u32(key) >= t.info.MaxEntries:
		return errno.E2BIG
	case flags == UpdateNoExist: // an array's elements are all there
		return errno.EEXIST
	}
	return nil
}

// set writes both words at once: a program never sees one without the other.
func (t *targets) set(key, value []byte) {
	t.store(u32(key), uint64(u32(value))|uint64(progOf(value))<<32)
}

func (t *targets) store(i uint32, v uint64) {
	atomic.StoreUint64((*uint64)(mem.At(t.info.Values.Addr(i))), v)
}

// checkProg refuses a number that is no program for this map.
func checkProg(value []byte, attach ebpf.AttachType) error {
	id := progOf(value)
	if id == 0 {
		return nil
	}
	p, ok := ProgByID(id).(XDPProgram)
	if !ok {
		return errno.EINVAL
	}
	if typ, is := p.Kind(); typ != ebpf.XDP || is != attach {
		return errno.EINVAL
	}
	return nil
}

// progOf is the program's number in a value, 0 where it has none. Like Linux it
// takes a negative one for none.
func progOf(value []byte) uint32 {
	if len(value) < 8 {
		return 0
	}
	return uint32(max(int32(u32(value[4:])), 0))
}

func (t *targets) userLookup(key, value []byte, flags uint64) error {
	addr := t.at(u32(key))
	if addr == 0 {
		return errno.ENOENT
	}
	t.read(value, addr, flags)
	return nil
}

func (t *targets) userDelete(key []byte) error {
	if u32(key) >= t.info.MaxEntries {
		return errno.EINVAL
	}
	t.store(u32(key), 0)
	return nil
}

func (t *targets) nextKey(key, next []byte) error { return nextIndex(key, next, t.info.MaxEntries) }
