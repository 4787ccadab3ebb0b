package maps

import "github.com/skep-ebpf/skep/internal/errno"

// slots is an array of numbers that stand for objects, 0 for none: the programs
// of a prog array, the maps of an array of maps.
type slots struct {
	common
}

func (s *slots) open() error { return s.reserve(4 * uint64(s.info.MaxEntries)) }

// at is the number at an index, 0 beyond the end.
func (s *slots) at(i uint32) uint32 {
	if i >= s.info.MaxEntries {
		return 0
	}
	return loadU32(s.mem.Addr() + uintptr(i)*4)
}

// set checks flags and index in Linux's order, asks valid about the number, and
// writes it.
func (s *slots) set(key, value []byte, flags uint64, valid func(uint32) error) error {
	i := u32(key)
	switch {
	case flags != UpdateAny:
		return errno.EINVAL
	case i >= s.info.MaxEntries:
		return errno.E2BIG
	}
	if err := valid(u32(value)); err != nil {
		return err
	}
	storeU32(s.mem.Addr()+uintptr(i)*4, u32(value))
	return nil
}

func (s *slots) userLookup(key, value []byte, _ uint64) error {
	n := s.at(u32(key))
	if n == 0 {
		return errno.ENOENT
	}
	putU32(value, n)
	return nil
}

func (s *slots) userDelete(key []byte) error {
	i := u32(key)
	if i >= s.info.MaxEntries {
		return errno.E2BIG
	}
	for at := s.mem.Addr() + uintptr(i)*4; ; {
		old := loadU32(at)
		if old == 0 {
			return errno.ENOENT
		}
		if casU32(at, old, 0) {
			return nil
		}
	}
}

func (s *slots) nextKey(key, next []byte) error { return nextIndex(key, next, s.info.MaxEntries) }
