package maps

import (
	"math"

	"github.com/skep-ebpf/skep/internal/errno"
)

// UserLookup implements Map.
func (c *common) UserLookup(key, value []byte, flags uint64) error {
	if err := c.checkUser(flags, c.lookupFlags, true, false); err != nil {
		return err
	}
	if !c.sized(key, value, flags) {
		return errno.EINVAL
	}
	return c.ops.userLookup(key, value, flags)
}

// UserUpdate implements Map.
func (c *common) UserUpdate(key, value []byte, flags uint64) error {
	if err := c.checkUser(flags, ^uint64(0), false, true); err != nil {
		return err
	}
	if !c.sized(key, value, flags) {
		return errno.EINVAL
	}
	return c.ops.userUpdate(key, value, flags)
}

// UserDelete implements Map.
func (c *common) UserDelete(key []byte) error {
	if err := c.checkUser(0, 0, false, true); err != nil {
		return err
	}
	if len(key) != int(c.info.KeySize) {
		return errno.EINVAL
	}
	return c.ops.userDelete(key)
}

// LookupAndDelete implements Map.
func (c *common) LookupAndDelete(key, value []byte, flags uint64) error {
	if err := c.checkUser(flags, FlagLock, true, true); err != nil {
		return err
	}
	if !c.sized(key, value, flags) {
		return errno.EINVAL
	}
	return c.ops.userTake(key, value, flags)
}

// NextKey implements Map.
func (c *common) NextKey(key, next []byte) error {
	if err := c.checkUser(0, 0, true, false); err != nil {
		return err
	}
	if key != nil && len(key) != int(c.info.KeySize) || len(next) != int(c.info.KeySize) {
		return errno.EINVAL
	}
	return c.ops.nextKey(key, next)
}

// Freeze implements Map.
func (c *common) Freeze() error {
	if len(c.info.Fields) > 0 {
		return errno.ENOTSUPP
	}
	c.freezing.Lock()
	defer c.freezing.Unlock()
	switch {
	case !c.writable():
		return errno.EPERM
	case c.writers > 0:
		return errno.EBUSY
	}
	c.frozen.Store(true)
	return nil
}

// Hold implements Mmapable.
func (c *common) Hold() error {
	c.freezing.Lock()
	defer c.freezing.Unlock()
	if !c.writable() {
		return errno.EPERM
	}
	c.writers++
	return nil
}

// Release implements Mmapable.
func (c *common) Release() {
	c.freezing.Lock()
	defer c.freezing.Unlock()
	c.writers--
}

// checkUser refuses a call with flags beyond allowed, for access that user space
// does not have, or with flags that make no sense for the map.
func (c *common) checkUser(flags, allowed uint64, read, write bool) error {
	switch {
	case flags&^allowed != 0:
		return errno.EINVAL
	case read && c.info.Flags&FlagWronly != 0, write && !c.writable():
		return errno.EPERM
	case flags&FlagLock == 0 && !c.info.PerCPU():
		return nil // what else there is, the type refuses
	}
	return c.info.CheckFlags(flags, math.MaxUint32)
}

func (c *common) writable() bool { return c.info.Flags&FlagRdonly == 0 && !c.frozen.Load() }

func (c *common) sized(key, value []byte, flags uint64) bool {
	return len(key) == int(c.info.KeySize) && len(value) == c.info.ValueSizeUnder(flags)
}

// Frozen reports whether Freeze succeeded.
func (c *common) Frozen() bool { return c.frozen.Load() }
