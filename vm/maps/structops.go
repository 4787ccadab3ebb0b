package maps

import (
	"sync"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
)

// structOps is BPF_MAP_TYPE_STRUCT_OPS: one value, a structure of the kernel's
// with functions that programs implement. Written once it stays until it is
// deleted; with BPF_F_LINK, until the map goes.
//
// Linux's value begins with a count and a state. Here it is the structure alone,
// as there is nobody who would call through it: its programs are run one by one.
type structOps struct {
	common

	mu    sync.Mutex
	inUse bool // protected by mu
}

func newStructOps(info Info) (Map, error) {
	s := &structOps{}
	s.init(info, s)
	return s, s.reserve(uint64(info.ValueSize))
}

func (s *structOps) value() []byte { return mem.View(s.mem.Addr(), int(s.info.ValueSize)) }

// Update implements Map.
func (*structOps) Update(int, []byte, []byte, uint64) error { return errno.EINVAL }

// Delete implements Map.
func (*structOps) Delete([]byte) error { return errno.EINVAL }

func (s *structOps) userLookup(key, value []byte, _ uint64) error {
	if u32(key) != 0 {
		return errno.ENOENT
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	copy(value, s.value())
	return nil
}

func (s *structOps) userUpdate(key, value []byte, flags uint64) error {
	switch {
	case flags != UpdateAny:
		return errno.EINVAL
	case u32(key) != 0:
		return errno.E2BIG
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inUse {
		return errno.EBUSY
	}
	s.inUse = true
	copy(s.value(), value)
	return nil
}

func (s *structOps) userDelete([]byte) error {
	if s.info.Flags&FlagLink != 0 {
		return errno.EOPNOTSUPP
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.inUse {
		return errno.ENOENT
	}
	s.inUse = false
	clear(s.value())
	return nil
}

func (s *structOps) nextKey(key, next []byte) error { return nextIndex(key, next, 1) }

// Freeze implements Map.
func (*structOps) Freeze() error { return errno.ENOTSUPP }

func checkStructOps(spec *ebpf.MapSpec) error {
	switch {
	case spec.KeySize != 4:
		return refuse(errno.EINVAL, "key_size is %d, and must be 4", spec.KeySize)
	case spec.MaxEntries != 1:
		return refuse(errno.EINVAL, "max_entries is %d, and must be 1", spec.MaxEntries)
	case spec.ValueSize == 0:
		return refuse(errno.EINVAL, "value_size is 0, and must be that of the structure")
	}
	return nil
}
