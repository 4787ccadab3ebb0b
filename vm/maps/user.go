package maps

import (
	"math"

	"github.com/skep-ebpf/skep/internal/errno"
)

// UserLookup implements Map.
func (c *common) UserLookup(key, value []byte, flags uint64) error {
	if !c.sized(key, value, flags) {
		return errno.EINVAL
	}
	if flags == 0 && c.readable() { // nothing else to check, nor to keep across a call
		return c.ops.userLookup(key, value, 0)
	}
	if err := c.checkUser(flags, c.lookupFlags, c.readable()); err != nil {
		return err
	}
	return c.ops.userLookup(key, value, flags)
}

// UserUpdate implements Map.
func (c *common) UserUpdate(key, value []byte, flags uint64) error {
	if !c.sized(key, value, flags) {
		return errno.EINVAL
	}
	if flags == 0 && c.writable() {
		return c.ops.userUpdate(key, value, 0)
	}
	if err := c.checkUser(flags, ^uint64(0), c.writable()); err != nil {
		return err
	}
	return c.ops.userUpdate(key, value, flags)
}

// UserDelete implements Map.
func (c *common) UserDelete(key []byte) error {
	if err := c.checkUser(0, 0, c.writable()); err != nil {
		return err
	}
	if len(key) != int(c.info.KeySize) {
		return errno.EINVAL
	}
	return c.ops.userDelete(key)
}

// LookupAndDelete implements Map.
func (c *common) LookupAndDelete(key, value []byte, flags uint64) error {
	if err := c.checkUser(flags, FlagLock, c.readable() && c.writable()); err != nil {
		return err
	}
	if !c.sized(key, value, flags) {
		return errno.EINVAL
	}
	return c.ops.userTake(key, value, flags)
}

// NextKey implements Map.
func (c *common) NextKey(key, next []byte) error {
	if err := c.checkUser(0, 0, c.readable()); err != nil {
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
// may not have, or with flags that make no sense for the map.
func (c *common) checkUser(flags, allowed uint64, may bool) error {
	switch {
	case flags&^allowed != 0:
		return errno.EINVAL
	case !may:
		return errno.EPERM
	case flags&FlagLock == 0 && !c.info.PerCPU():
		return nil // what else there is, the type refuses
	}
	return c.info.CheckFlags(flags, math.MaxUint32)
}

func (c *common) readable() bool { return c.info.Flags&FlagWronly == 0 }

func (c *common) writable() bool { return c.info.Flags&FlagRdonly == 0 && !c.frozen.Load() }

func (c *common) sized(key, value []byte, flags uint64) bool {
	size := c.userSize
	if flags != 0 {
		size = c.info.ValueSizeUnder(flags)
	}
	return len(key) == int(c.info.KeySize) && len(value) == size
}

// Frozen reports whether Freeze succeeded.
func (c *common) Frozen() bool { return c.frozen.Load() }

// MayUpdate is what an update asks before it looks at key and value.
func (c *common) MayUpdate(flags uint64) error { return c.checkUser(flags, ^uint64(0), c.writable()) }
