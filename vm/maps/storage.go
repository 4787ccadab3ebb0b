package maps

import (
	"encoding/binary"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/errno"
)

// Storage is BPF_MAP_TYPE_SK_STORAGE, TASK_STORAGE, INODE_STORAGE and
// CGRP_STORAGE: one value for each object of a kind that has one. An object is
// known by a number: a process by its pid, a socket, inode or cgroup by the
// number that the world gives it. It is the key of user space, where Linux takes a
// file descriptor.
type Storage struct{ hash }

// Owners are how many objects may have a value in one map, where Linux has no
// limit but memory; fewer where values are large.
const (
	maxOwners    = 1 << 16
	ownersMemory = 1 << 28 // bytes
)

func newStorage(info Info) (Map, error) {
	s := &Storage{}
	s.init(info, s)
	return s, s.openFor()
}

// openFor lays the table out for as many keys as it may come to have, which is
// not the map's max_entries: that is 0.
func (h *hash) openFor() error {
	value := roundUp(uint64(h.info.ValueSize), 8)
	if h.info.PerCPU() {
		value *= uint64(h.info.CPUs)
	}
	h.info.MaxEntries = uint32(min(maxOwners, ownersMemory/value))
	err := h.open()
	h.info.MaxEntries = 0
	return err
}

// Get gives the address of an object's value, or 0. With create an object that
// has none gets one: value, or zeroes where value is nil.
func (s *Storage) Get(cpu int, owner uint32, value []byte, create bool) uintptr {
	return s.obtain(cpu, binary.NativeEndian.AppendUint32(nil, owner), value, create)
}

// Drop deletes an object's value: ENOENT where it has none.
func (s *Storage) Drop(owner uint32) error {
	return s.hash.Delete(binary.NativeEndian.AppendUint32(nil, owner))
}

// obtain gives the address of a key's value, which it may create.
func (h *hash) obtain(cpu int, key, value []byte, create bool) uintptr {
	for {
		if at := h.Lookup(cpu, key); at != 0 || !create {
			return at
		}
		if value == nil {
			value = make([]byte, h.info.ValueSize)
		}
		switch err := h.update(cpu, key, value, UpdateNoExist, false); err {
		case nil, errno.EEXIST: // perhaps by another CPU
		default:
			return 0
		}
	}
}

// Programs reach values by their owners only.

// Lookup implements Map.
func (*Storage) Lookup(int, []byte) uintptr { return 0 }

// Update implements Map.
func (*Storage) Update(int, []byte, []byte, uint64) error { return errno.EOPNOTSUPP }

// Delete implements Map.
func (*Storage) Delete([]byte) error { return errno.EOPNOTSUPP }

func (s *Storage) userLookup(key, value []byte, flags uint64) error {
	if err := checkOwner(key); err != nil {
		return err
	}
	return s.hash.userLookup(key, value, flags)
}

func (s *Storage) userUpdate(key, value []byte, flags uint64) error {
	if err := checkOwner(key); err != nil {
		return err
	}
	return s.hash.userUpdate(key, value, flags)
}

func (s *Storage) userDelete(key []byte) error {
	if err := checkOwner(key); err != nil {
		return err
	}
	return s.hash.userDelete(key)
}

func (*Storage) userTake([]byte, []byte, uint64) error { return errno.ENOTSUPP }
func (*Storage) nextKey([]byte, []byte) error          { return errno.ENOTSUPP }

// checkOwner refuses what can be no file descriptor.
func checkOwner(key []byte) error {
	if int32(u32(key)) < 0 {
		return errno.EBADF
	}
	return nil
}

func checkStorage(spec *ebpf.MapSpec) error {
	switch {
	case spec.Flags&FlagNoPrealloc == 0:
		return refuse(errno.EINVAL, "type %s needs BPF_F_NO_PREALLOC in its flags", spec.Type)
	case spec.MaxEntries != 0:
		return refuse(errno.EINVAL, "max_entries is %d, and must be 0: there is a value for each object", spec.MaxEntries)
	case spec.KeySize != 4:
		return refuse(errno.EINVAL, "key_size is %d, and must be 4", spec.KeySize)
	case spec.ValueSize == 0:
		return refuse(errno.EINVAL, "value_size is 0, and must be at least 1")
	case spec.Key == nil || spec.Value == nil:
		return refuse(errno.EINVAL, "type %s needs the types of its key and value (BTF)", spec.Type)
	case spec.ValueSize > maxStorage:
		return refuse(errno.E2BIG, "value_size is %d, and may be at most %d", spec.ValueSize, maxStorage)
	}
	if i, ok := btf.UnderlyingType(spec.Key).(*btf.Int); !ok || i.Size != 4 {
		return refuse(errno.EINVAL, "the key's type is %s, and must be an int", spec.Key.TypeName())
	}
	return nil
}
