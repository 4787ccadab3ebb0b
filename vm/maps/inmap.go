package maps

import (
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
)

// arrayOfMaps is BPF_MAP_TYPE_ARRAY_OF_MAPS.
type arrayOfMaps struct{ slots }

func newArrayOfMaps(info Info) (Map, error) {
	a := &arrayOfMaps{}
	a.init(info, a)
	return a, a.open()
}

// Lookup implements Map.
func (a *arrayOfMaps) Lookup(_ int, key []byte) uintptr { return uintptr(a.at(u32(key))) }

func (a *arrayOfMaps) userUpdate(key, value []byte, flags uint64) error {
	return a.set(key, value, flags, func(h uint32) error { return fits(a.info.Inner, Handle(h)) })
}

// hashOfMaps is BPF_MAP_TYPE_HASH_OF_MAPS: a hash table of handles, which
// programs see only through Lookup.
type hashOfMaps struct{ hash }

func newHashOfMaps(info Info) (Map, error) {
	h := &hashOfMaps{}
	h.init(info, h)
	err := h.open()
	h.info.Values = Slab{}
	return h, err
}

// Lookup implements Map.
func (h *hashOfMaps) Lookup(cpu int, key []byte) uintptr {
	at := h.hash.Lookup(cpu, key)
	if at == 0 {
		return 0
	}
	return uintptr(loadU32(at))
}

// Update implements Map: only user space puts maps in.
func (h *hashOfMaps) Update(int, []byte, []byte, uint64) error { return errno.EOPNOTSUPP }

// Delete implements Map: and only user space takes them out.
func (h *hashOfMaps) Delete([]byte) error { return errno.EOPNOTSUPP }

func (h *hashOfMaps) userUpdate(key, value []byte, flags uint64) error {
	if err := fits(h.info.Inner, Handle(u32(value))); err != nil {
		return err
	}
	return h.update(0, key, value, flags, true)
}

func (h *hashOfMaps) userTake([]byte, []byte, uint64) error { return errno.ENOTSUPP }

// checkInner refuses what cannot be inside a map of maps.
func checkInner(spec *ebpf.MapSpec) error {
	inner := spec.InnerMap
	if inner == nil {
		return refuse(errno.EBADF, "a map of maps needs the spec of its inner maps (InnerMap)")
	}
	k, err := kindOf(inner.Type)
	if err != nil {
		return fmt.Errorf("inner map: %w", err)
	}
	if err := check(inner, k); err != nil {
		return fmt.Errorf("inner map: %w", err)
	}
	switch inner.Type {
	case ebpf.ArrayOfMaps, ebpf.HashOfMaps:
		return refuse(errno.EINVAL, "inner maps are maps of maps, and one level is all there is")
	case ebpf.ProgramArray:
		return refuse(errno.ENOTSUPP, "inner maps of type %s", inner.Type)
	}
	return nil
}

// fits holds a map against the spec of the inner maps: programs were written for
// that shape.
func fits(want *ebpf.MapSpec, h Handle) error {
	m := Get(h)
	if m == nil {
		return errno.EBADF
	}
	got := m.Info()
	same := got.Type == want.Type && got.KeySize == want.KeySize && got.ValueSize == want.ValueSize &&
		got.Flags == want.Flags && got.Fields.equal(valueFields(want))
	// The size of an array is compiled into programs, unless it says otherwise.
	if want.Type == ebpf.Array && want.Flags&FlagInnerMap == 0 {
		same = same && got.MaxEntries == want.MaxEntries
	}
	if !same {
		return errno.EINVAL
	}
	return nil
}
