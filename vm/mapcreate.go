package vm

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/maps"
)

// flagToken is BPF_F_TOKEN_FD.
const flagToken = 1 << 16

// mapCreate is BPF_MAP_CREATE.
type mapCreate struct {
	Type, KeySize, ValueSize, MaxEntries, Flags, Inner, NumaNode uint32
	Name                                                         [16]byte
	Ifindex, BTF, Key, Value, KernelValue                        uint32
	Extra                                                        uint64
	KernelBTF, Token                                             int32
	ExclusiveHash                                                uint64
	ExclusiveHashSize                                            uint32
}

func (a *mapCreate) run(c *call) (uint32, error) {
	if err := a.check(); err != nil {
		return 0, err
	}
	spec := &ebpf.MapSpec{
		Type: ebpf.MapType(a.Type), KeySize: a.KeySize, ValueSize: a.ValueSize, MaxEntries: a.MaxEntries,
		Flags: a.Flags, MapExtra: a.Extra,
	}
	noInner, noOps := a.inner(spec), a.operations(c, spec)
	// Linux makes the map before it looks at its name and types.
	described := a.describe(c, spec)
	impl, err := maps.New(spec, PossibleCPU())
	switch {
	case errors.Is(err, errno.EBADF):
		return 0, noInner
	case err != nil:
		return 0, err
	}
	if err := cmp.Or(noOps, described); err != nil {
		impl.Close()
		return 0, err
	}
	m := newHandle(impl)
	fd, err := opened.add(uint32(m.FD()), m)
	if err == nil {
		c.made("map_create", fd, fmt.Sprintf("%s %s", spec.Type, spec.Name))
	}
	return fd, err
}

var errNoOffload = fmt.Errorf("no interface offloads maps: %w", errno.EINVAL)

// inner puts into a spec what the maps are that a map of maps holds.
func (a *mapCreate) inner(spec *ebpf.MapSpec) error {
	if spec.Type != ebpf.ArrayOfMaps && spec.Type != ebpf.HashOfMaps {
		return nil
	}
	if a.Ifindex != 0 {
		return errNoOffload
	}
	inner, err := mapByFD(a.Inner)
	if err != nil {
		return err
	}
	spec.InnerMap = inner.spec("")
	inner.unref()
	return nil
}

// operations puts into the spec of a struct_ops map what the kernel's type of its
// value is.
func (a *mapCreate) operations(c *call, spec *ebpf.MapSpec) error {
	if spec.Type != ebpf.StructOpsMap {
		return nil
	}
	var value *btf.Struct
	if types := c.state.Env.Types; types != nil {
		if t, err := types.TypeByID(btf.TypeID(a.KernelValue)); err == nil {
			value, _ = t.(*btf.Struct)
		}
	}
	if value == nil || !strings.HasPrefix(value.Name, maps.StructOpsPrefix) {
		return errno.ENOTSUPP
	}
	spec.Value = value
	return nil
}

// check refuses attributes that make no sense for any map.
func (a *mapCreate) check() error {
	ops := ebpf.MapType(a.Type) == ebpf.StructOpsMap
	switch {
	case ops && a.KernelValue == 0, a.KernelValue != 0 && (!ops || a.Key != 0 || a.Value != 0):
		return errno.EINVAL
	case a.Key != 0 && a.Value == 0:
		return errno.EINVAL
	case a.Flags&maps.FlagNumaNode != 0 && a.NumaNode != 0:
		return fmt.Errorf("the machine has no memory node %d: %w", a.NumaNode, errno.EINVAL)
	case a.Flags&flagToken != 0:
		return noToken(uint32(a.Token))
	}
	return nil
}

// describe puts the name and the types into a map's spec.
func (a *mapCreate) describe(c *call, spec *ebpf.MapSpec) (err error) {
	if a.Ifindex != 0 {
		return errNoOffload
	}
	if spec.Name, err = objectName(a.Name); err != nil {
		return err
	}
	if a.Key != 0 || a.Value != 0 || a.KernelValue != 0 {
		if err := a.types(c, spec); err != nil {
			return err
		}
	}
	if a.ExclusiveHash != 0 || a.ExclusiveHashSize != 0 {
		return fmt.Errorf("maps for one program only are not supported: %w", errno.EINVAL)
	}
	return nil
}

// types puts the types of keys and values into a map's spec.
func (a *mapCreate) types(c *call, spec *ebpf.MapSpec) error {
	types, err := opened.types(a.BTF)
	if err != nil {
		return err
	}
	if a.KernelValue != 0 {
		return nil // which operations saw to
	}
	if a.Key != 0 {
		if spec.Key, err = sizedType(types, a.Key, spec.KeySize); err != nil {
			return err
		}
	}
	if spec.Value, err = sizedType(types, a.Value, spec.ValueSize); err != nil {
		return err
	}
	return checkKeyType(spec)
}

// checkKeyType refuses a type of keys that is not what the map's type asks for, and
// any for maps that take no types (ENOTSUPP).
func checkKeyType(spec *ebpf.MapSpec) error {
	var key btf.Type
	if spec.Key != nil {
		key = btf.UnderlyingType(spec.Key)
	}
	var ok bool
	switch spec.Type {
	case ebpf.ProgramArray, ebpf.PerfEventArray, ebpf.ArrayOfMaps, ebpf.HashOfMaps, ebpf.StackTrace, ebpf.DevMap,
		ebpf.DevMapHash, ebpf.CPUMap, ebpf.XSKMap, ebpf.SockMap, ebpf.SockHash, ebpf.CGroupArray:
		return errno.ENOTSUPP
	case ebpf.Array, ebpf.PerCPUArray:
		_, section := spec.Value.(*btf.Datasec)
		ok = isInt(key, 4) || key == nil && section && spec.Type == ebpf.Array && spec.MaxEntries == 1
	case ebpf.SkStorage, ebpf.InodeStorage, ebpf.TaskStorage, ebpf.CgroupStorage:
		ok = isInt(key, 4)
	case ebpf.CGroupStorage, ebpf.PerCPUCGroupStorage:
		ok = spec.KeySize == 8 && isInt(key, 8) || spec.KeySize != 8 && isStorageKey(key)
	case ebpf.LPMTrie:
		_, ok = key.(*btf.Struct)
	case ebpf.BloomFilter:
		ok = key == nil
	case ebpf.Arena:
		ok = true
	default:
		ok = key != nil
	}
	if !ok {
		return fmt.Errorf("type %s cannot have such keys: %w", spec.Type, errno.EINVAL)
	}
	return nil
}

// isInt reports whether t is an integer of some bytes.
func isInt(t btf.Type, size uint32) bool {
	i, ok := t.(*btf.Int)
	return ok && i.Size == size
}

// isStorageKey reports whether t is like struct bpf_cgroup_storage_key.
func isStorageKey(t btf.Type) bool {
	s, ok := t.(*btf.Struct)
	return ok && len(s.Members) == 2 && s.Members[1].Offset == 64 &&
		isInt(btf.UnderlyingType(s.Members[0].Type), 8) && isInt(btf.UnderlyingType(s.Members[1].Type), 4)
}

// sizedType is the type with an id, which must have a size.
func sizedType(types *btf.Spec, id, size uint32) (btf.Type, error) {
	t, err := types.TypeByID(btf.TypeID(id))
	if err != nil {
		return nil, fmt.Errorf("type %d: %w", id, errno.EINVAL)
	}
	if n, err := btf.Sizeof(t); err != nil || uint32(n) != size {
		return nil, fmt.Errorf("type %d has not the size %d: %w", id, size, errno.EINVAL)
	}
	return t, nil
}
