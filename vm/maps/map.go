package maps

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
)

// Flags of an update.
const (
	UpdateAny     = 0 // create or replace
	UpdateNoExist = 1 // create only
	UpdateExist   = 2 // replace only
	FlagLock      = 4 // hold the value's spin lock meanwhile
)

// Map is one map. Its methods may be called from any number of goroutines.
//
// Keys and values that are passed in are exactly as long as [Info] says. The
// errors are [errno.Errno] values, the kernel's for the same call.
type Map interface {
	Info() *Info

	// Lookup gives the address of the value that a program sees on a CPU, or 0
	// where there is none.
	Lookup(cpu int, key []byte) uintptr
	// Update is bpf_map_update_elem on a CPU.
	Update(cpu int, key, value []byte, flags uint64) error
	// Delete is bpf_map_delete_elem.
	Delete(key []byte) error

	// UserLookup copies a value of Info().UserValueSize() bytes.
	UserLookup(key, value []byte, flags uint64) error
	// UserUpdate takes a value of Info().UserValueSize() bytes.
	UserUpdate(key, value []byte, flags uint64) error
	// UserDelete is BPF_MAP_DELETE_ELEM.
	UserDelete(key []byte) error
	// NextKey writes the key after key into next; a nil key, or one that is not
	// in the map, gives the first. ENOENT after the last.
	NextKey(key, next []byte) error

	// Close gives the map's memory back. No program may run on it any more.
	Close() error
}

// Slab is the memory that a map's values live in: N values of Size bytes, the
// i-th at Base + i*Stride.
type Slab struct {
	Base   uintptr
	Stride uintptr
	Size   uintptr
	N      uint32
}

// Index is the number of the value that addr points into.
func (s *Slab) Index(addr uintptr) uint32 { return uint32((addr - s.Base) / s.Stride) }

// Addr is the address of value i.
func (s *Slab) Addr(i uint32) uintptr { return s.Base + uintptr(i)*s.Stride }

// Info is what does not change about a map.
type Info struct {
	Handle     Handle // set by Register
	Name       string
	Type       ebpf.MapType
	KeySize    uint32 // bytes
	ValueSize  uint32 // bytes, for one CPU
	MaxEntries uint32
	Flags      uint32
	Key, Value btf.Type // may be nil
	CPUs       int      // CPUs that a per-CPU map has values for
	Values     Slab     // the zero Slab where programs never see a value's address
	Inner      *ebpf.MapSpec
}

// PerCPU reports whether each CPU has its own values.
func (i *Info) PerCPU() bool {
	switch i.Type {
	case ebpf.PerCPUHash, ebpf.PerCPUArray, ebpf.LRUCPUHash, ebpf.PerCPUCGroupStorage:
		return true
	}
	return false
}

// UserValueSize is the size of a value as user space sees it, in bytes.
func (i *Info) UserValueSize() int {
	if !i.PerCPU() {
		return int(i.ValueSize)
	}
	return roundUp(int(i.ValueSize), 8) * i.CPUs
}

// common is what all maps share: the static part, and answers for operations
// that a type does not have.
type common struct {
	info Info
	mem  *mem.Block
}

func (c *common) Info() *Info                            { return &c.info }
func (*common) Lookup(int, []byte) uintptr               { return 0 }
func (*common) Update(int, []byte, []byte, uint64) error { return errno.EOPNOTSUPP }
func (*common) Delete([]byte) error                      { return errno.EOPNOTSUPP }
func (*common) UserLookup([]byte, []byte, uint64) error  { return errno.EOPNOTSUPP }
func (*common) UserUpdate([]byte, []byte, uint64) error  { return errno.EOPNOTSUPP }
func (*common) UserDelete([]byte) error                  { return errno.EOPNOTSUPP }
func (*common) NextKey([]byte, []byte) error             { return errno.EOPNOTSUPP }

// Close implements Map.
func (c *common) Close() error {
	Unregister(c.info.Handle)
	if c.mem == nil {
		return nil
	}
	return c.mem.Free()
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }
