package maps

import "github.com/skep-ebpf/skep/internal/errno"

// CgroupArray is BPF_MAP_TYPE_CGROUP_ARRAY: cgroups by index. A cgroup is known by
// its id, which is below 2^32, where Linux's user space passes a file descriptor.
type CgroupArray struct{ slots }

func newCgroupArray(info Info) (Map, error) {
	c := &CgroupArray{}
	c.init(info, c)
	return c, c.open()
}

// Cgroup gives the id of the cgroup at an index: E2BIG behind the end, EAGAIN
// where there is none.
func (c *CgroupArray) Cgroup(index uint32) (uint64, error) {
	if index >= c.info.MaxEntries {
		return 0, errno.E2BIG
	}
	id := c.at(index)
	if id == 0 {
		return 0, errno.EAGAIN
	}
	return uint64(id), nil
}

func (*CgroupArray) userLookup([]byte, []byte, uint64) error { return errno.ENOTSUPP }

func (c *CgroupArray) userUpdate(key, value []byte, flags uint64) error {
	return c.set(key, value, flags, func(id uint32) error {
		if int32(id) <= 0 {
			return errno.EBADF
		}
		return nil
	})
}
