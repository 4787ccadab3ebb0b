package maps

import (
	"encoding/binary"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
)

// CgroupStorage is BPF_MAP_TYPE_CGROUP_STORAGE and PERCPU_CGROUP_STORAGE: a value
// for each cgroup, or for each cgroup and type of attachment, that a program runs
// in. Linux makes a value when it attaches a program; here it is made when the
// program first asks for it.
type CgroupStorage struct{ hash }

const (
	cgroupKey       = 16 // struct bpf_cgroup_storage_key: id u64, attach type u32
	cgroupSharedKey = 8  // the id alone
)

func newCgroupStorage(info Info) (Map, error) {
	c := &CgroupStorage{}
	c.init(info, c)
	return c, c.openFor()
}

// Get gives the address of the value of a cgroup and a type of attachment.
func (c *CgroupStorage) Get(cpu int, id uint64, attach ebpf.AttachType) uintptr {
	key := binary.NativeEndian.AppendUint64(make([]byte, 0, cgroupKey), id)
	if c.info.KeySize == cgroupKey {
		key = binary.NativeEndian.AppendUint64(key, uint64(uint32(attach)))
	}
	return c.obtain(cpu, key, nil, true)
}

// Lookup implements Map: programs ask by Get.
func (*CgroupStorage) Lookup(int, []byte) uintptr { return 0 }

// Update implements Map.
func (*CgroupStorage) Update(int, []byte, []byte, uint64) error { return errno.EOPNOTSUPP }

// Delete implements Map.
func (*CgroupStorage) Delete([]byte) error { return errno.EINVAL }

// userUpdate changes a value that is there.
func (c *CgroupStorage) userUpdate(key, value []byte, flags uint64) error {
	allowed := uint64(UpdateExist)
	if c.percpu {
		allowed |= oneValue
	} else {
		allowed |= FlagLock
	}
	if uint64(uint32(flags))&^allowed != 0 {
		return errno.EINVAL
	}
	if flags&oneValue != 0 { // where a hash does not heed UpdateExist
		if c.find(key, c.table.hash(key)) == 0 {
			return errno.ENOENT
		}
		return c.hash.userUpdate(key, value, flags&^UpdateExist)
	}
	return c.hash.userUpdate(key, value, flags|UpdateExist)
}

func (*CgroupStorage) userDelete([]byte) error               { return errno.EINVAL }
func (*CgroupStorage) userTake([]byte, []byte, uint64) error { return errno.ENOTSUPP }

// nextKey does not begin again after a key that is not in the map.
func (c *CgroupStorage) nextKey(key, next []byte) error {
	if key != nil && c.find(key, c.table.hash(key)) == 0 {
		return errno.ENOENT
	}
	return c.hash.nextKey(key, next)
}

func checkCgroupStorage(spec *ebpf.MapSpec) error {
	limit := uint32(maxStorage)
	if spec.Type == ebpf.PerCPUCGroupStorage {
		limit = maxPerCPU
	}
	switch {
	case spec.KeySize != cgroupKey && spec.KeySize != cgroupSharedKey:
		return refuse(errno.EINVAL, "key_size is %d, and must be %d (struct bpf_cgroup_storage_key) or %d (a cgroup's id)",
			spec.KeySize, cgroupKey, cgroupSharedKey)
	case spec.ValueSize == 0:
		return refuse(errno.EINVAL, "value_size is 0, and must be at least 1")
	case spec.ValueSize > limit:
		return refuse(errno.E2BIG, "value_size is %d, and may be at most %d", spec.ValueSize, limit)
	case spec.MaxEntries != 0:
		return refuse(errno.EINVAL, "max_entries is %d, and must be 0: there is a value for each cgroup", spec.MaxEntries)
	}
	return nil
}
