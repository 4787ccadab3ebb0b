package maps

import (
	"math"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
)

// array is BPF_MAP_TYPE_ARRAY and BPF_MAP_TYPE_PERCPU_ARRAY: the value of index
// i lies at
//
//	base + i*stride + cpu*row
//
// where row is 0 for the plain array.
type array struct {
	common
	base   uintptr
	stride uintptr
	row    uintptr
	n      uint32
}

func newArray(info Info) (Map, error) {
	a := &array{n: info.MaxEntries, stride: uintptr(roundUp(uint64(info.ValueSize), 8))}
	total := uint64(a.n)
	if info.PerCPU() {
		row := rowOf(total, uint64(a.stride))
		a.row = uintptr(row) * a.stride
		total = row * uint64(info.CPUs)
	}
	a.init(info, a)
	if err := a.reserve(roundUp(total*uint64(a.stride), pageSize)); err != nil {
		return nil, err
	}
	a.mem.Dense()
	a.base = a.mem.Addr()
	return a, a.setValues(a.base, a.stride, total)
}

// Lookup implements Map.
func (a *array) Lookup(cpu int, key []byte) uintptr {
	i := u32(key)
	if i >= a.n {
		return 0
	}
	return a.base + uintptr(i)*a.stride + uintptr(cpu)*a.row
}

// KeyOf implements Keyed.
func (a *array) KeyOf(value uintptr, key []byte) {
	i := (value - a.base) / a.stride
	if a.row != 0 {
		i %= a.row / a.stride
	}
	putU32(key, uint32(i))
}

// Memory implements Mmapable.
func (a *array) Memory() ([]byte, bool) {
	size := roundUp(uint64(a.n)*uint64(a.stride), pageSize)
	return mem.View(a.base, int(size)), a.writable() && a.info.Flags&FlagRdonlyProg == 0
}

// Update implements Map.
func (a *array) Update(cpu int, key, value []byte, flags uint64) error {
	addr, err := a.target(cpu, key, flags)
	if err != nil {
		return err
	}
	a.overwrite(addr, value, flags)
	return nil
}

// target is where an update goes to.
func (a *array) target(cpu int, key []byte, flags uint64) (uintptr, error) {
	if flags&^FlagLock > UpdateExist {
		return 0, errno.EINVAL
	}
	addr := a.Lookup(cpu, key)
	switch {
	case addr == 0:
		return 0, errno.E2BIG
	case flags&UpdateNoExist != 0:
		return 0, errno.EEXIST
	case flags&FlagLock != 0 && a.spin < 0:
		return 0, errno.EINVAL
	}
	return addr, nil
}

// Delete implements Map: an array's elements cannot be deleted.
func (a *array) Delete([]byte) error { return errno.EINVAL }

func (a *array) userLookup(key, value []byte, flags uint64) error {
	addr := a.Lookup(0, key)
	switch {
	case addr == 0:
		return errno.ENOENT
	case a.row != 0:
		a.readCPUs(value, addr, a.row, flags)
	default:
		a.read(value, addr, flags)
	}
	return nil
}

func (a *array) userUpdate(key, value []byte, flags uint64) error {
	mode := flags
	if a.row != 0 && flags&oneValue != 0 {
		if uint32(flags) > FlagAllCPUs {
			return errno.EINVAL
		}
		mode = uint64(uint32(flags)) &^ oneValue
	}
	addr, err := a.target(0, key, mode)
	switch {
	case err != nil:
		return err
	case a.row != 0:
		a.writeCPUs(addr, a.row, value, flags)
	default:
		a.overwrite(addr, value, flags)
	}
	return nil
}

func (a *array) userDelete([]byte) error { return errno.EINVAL }

func (a *array) nextKey(key, next []byte) error { return nextIndex(key, next, a.n) }

// nextIndex is NextKey of every type that is indexed by 0 to n-1.
func nextIndex(key, next []byte, n uint32) error {
	i := uint32(math.MaxUint32)
	if key != nil {
		i = u32(key)
	}
	switch {
	case i >= n:
		putU32(next, 0)
	case i == n-1:
		return errno.ENOENT
	default:
		putU32(next, i+1)
	}
	return nil
}
