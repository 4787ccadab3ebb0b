package maps

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/errno"
)

// Flags of an update.
const (
	UpdateAny     = 0 // create or replace
	UpdateNoExist = 1 // create only
	UpdateExist   = 2 // replace only
	FlagLock      = 4 // hold the value's spin lock meanwhile

	// Of user space's access to a per-CPU map, with one value instead of one for
	// each CPU:
	FlagCPU     = 8  // of the CPU whose number is in the upper 32 bits of the flags
	FlagAllCPUs = 16 // for every CPU, in an update

	oneValue = FlagCPU | FlagAllCPUs
)

// Map is one map. Its methods may be called from any number of goroutines.
//
// Keys and values that are passed in are exactly as long as [Info] says; user
// space's methods give EINVAL otherwise. The errors are [errno.Errno] values,
// the kernel's for the same call.
//
// Where Linux's user space passes a file descriptor (of a map into a map of
// maps, of a program into a prog array) it passes the handle here, and a lookup
// gives the same number back, where Linux gives the object's id.
type Map interface {
	Info() *Info

	// Lookup gives the address of the value that a program sees on a CPU, or 0
	// where there is none. For a map of maps it is the inner map's [Handle].
	Lookup(cpu int, key []byte) uintptr
	// Update is bpf_map_update_elem on a CPU.
	Update(cpu int, key, value []byte, flags uint64) error
	// Delete is bpf_map_delete_elem.
	Delete(key []byte) error

	// UserLookup copies a value of Info().ValueSizeUnder(flags) bytes.
	UserLookup(key, value []byte, flags uint64) error
	// UserUpdate takes a value of Info().ValueSizeUnder(flags) bytes.
	UserUpdate(key, value []byte, flags uint64) error
	// UserDelete is BPF_MAP_DELETE_ELEM.
	UserDelete(key []byte) error
	// LookupAndDelete is BPF_MAP_LOOKUP_AND_DELETE_ELEM: UserLookup and
	// UserDelete in one step.
	LookupAndDelete(key, value []byte, flags uint64) error
	// NextKey writes the key after key into next; a nil key, or one that is not
	// in the map, gives the first. ENOENT after the last.
	NextKey(key, next []byte) error
	// Freeze ends user space's updates and deletions (EPERM from then on).
	// Programs go on writing. EBUSY while user space may write to the memory of a
	// [Mmapable].
	Freeze() error

	// Close gives the map's memory back. No program may run on it any more, and
	// no map of maps may hold it.
	Close() error
}

// Keyless is a map without keys: a queue, a stack or a bloom filter.
type Keyless interface {
	Map
	// Push adds a value. With UpdateExist a full queue or stack drops its oldest
	// one; E2BIG otherwise.
	Push(value []byte, flags uint64) error
	// Pop takes the next value out. ENOENT where there is none.
	Pop(value []byte) error
	// Peek reads the next value. For a bloom filter it reports whether value may
	// have been pushed: nil or ENOENT.
	Peek(value []byte) error
}

// Counted is a map that counts its elements.
type Counted interface {
	Map
	Count() int
}

// Keyed is a map that knows the key of a value.
type Keyed interface {
	// KeyOf writes the key of the value at an address.
	KeyOf(value uintptr, key []byte)
}

// Mmapable is a map whose memory user space may see as it is (BPF_F_MMAPABLE).
type Mmapable interface {
	// Memory gives whole pages, and whether user space may write to them.
	Memory() (b []byte, writable bool)
	// Hold is what user space does before it may write to the memory: the map
	// cannot be frozen until Release. EPERM where it is frozen.
	Hold() error
	// Release ends a Hold.
	Release()
}

// Slab is the memory that a map's values live in: N values of Size bytes, the
// i-th at Base + i*Stride.
//
// The numbering is the map's own: every value that a program may hold the
// address of has one number, and not every number has a value. In particular a
// per-CPU map's values of one key have unrelated numbers.
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
	Extra      uint64   // map_extra
	Key, Value btf.Type // may be nil
	Fields     Fields   // the value's special fields
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
func (i *Info) UserValueSize() int { return i.ValueSizeUnder(0) }

// ValueSizeUnder is UserValueSize for access with flags.
func (i *Info) ValueSizeUnder(flags uint64) int {
	if !i.AllCPUs(flags) {
		return int(i.ValueSize)
	}
	return int(roundUp(uint64(i.ValueSize), 8)) * i.CPUs
}

// AllCPUs reports whether what user space reads or writes under flags is a value
// for each CPU.
func (i *Info) AllCPUs(flags uint64) bool { return flags&oneValue == 0 && i.PerCPU() }

// CheckFlags refuses flags of user space's access beyond allowed, and those that
// make no sense for the map: EINVAL, or ERANGE for a CPU that there is not.
func (i *Info) CheckFlags(flags, allowed uint64) error {
	switch {
	case flags == 0:
		return nil
	case uint64(uint32(flags))&^allowed != 0,
		flags&FlagLock != 0 && i.Fields.Offset(FieldSpinLock) < 0,
		flags&FlagCPU == 0 && flags>>32 != 0,
		flags&oneValue != 0 && !i.PerCPU(),
		flags&oneValue == oneValue:
		return errno.EINVAL
	case flags&FlagCPU != 0 && flags>>32 >= uint64(i.CPUs):
		return errno.ERANGE
	}
	return nil
}

func roundUp(n, to uint64) uint64 { return (n + to - 1) / to * to }
