package maps

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
)

// common is what all maps share: the static part, memory, and user space's face,
// which checks what Linux's bpf() checks for every type and then asks the type.
type common struct {
	info Info
	ops  ops
	spin int // offset of the value's bpf_spin_lock, or -1
	// userSize is the size of a value as user space sees it, in bytes.
	userSize int
	// lookupFlags are the flags that a lookup takes.
	lookupFlags uint64

	mem    *mem.Block
	closed atomic.Bool
	frozen atomic.Bool

	freezing sync.Mutex
	writers  int // who may write to the memory in user space, protected by freezing
}

// ops is what a type does for user space; flags and lengths have been checked.
type ops interface {
	userLookup(key, value []byte, flags uint64) error
	userUpdate(key, value []byte, flags uint64) error
	userDelete(key []byte) error
	userTake(key, value []byte, flags uint64) error
	nextKey(key, next []byte) error
}

// init fills in what does not depend on the type.
func (c *common) init(info Info, o ops) {
	c.info, c.ops = info, o
	c.userSize = info.UserValueSize()
	c.spin = info.Fields.Offset(FieldSpinLock)
	c.lookupFlags = FlagLock
	if info.PerCPU() {
		c.lookupFlags |= FlagCPU | math.MaxUint32<<32
	}
}

// reserve gets the map's memory.
func (c *common) reserve(size uint64) error {
	block, err := mem.New(size)
	if err != nil {
		return fmt.Errorf("%v: %w", err, errno.ENOMEM)
	}
	c.mem = block
	return nil
}

// setValues says where the values are.
func (c *common) setValues(base, stride uintptr, n uint64) error {
	if n > math.MaxUint32 {
		return errors.Join(c.Close(), fmt.Errorf("%d values are more than the machine can number: %w", n, errno.ENOMEM))
	}
	c.info.Values = Slab{Base: base, Stride: stride, Size: uintptr(c.info.ValueSize), N: uint32(n)}
	return nil
}

func (c *common) Info() *Info { return &c.info }

// What a type does not have.

func (*common) Lookup(int, []byte) uintptr               { return 0 }
func (*common) Update(int, []byte, []byte, uint64) error { return errno.EOPNOTSUPP }
func (*common) Delete([]byte) error                      { return errno.EOPNOTSUPP }
func (*common) userLookup([]byte, []byte, uint64) error  { return errno.ENOTSUPP }
func (*common) userUpdate([]byte, []byte, uint64) error  { return errno.ENOTSUPP }
func (*common) userDelete([]byte) error                  { return errno.ENOTSUPP }
func (*common) userTake([]byte, []byte, uint64) error    { return errno.ENOTSUPP }
func (*common) nextKey([]byte, []byte) error             { return errno.ENOTSUPP }

// Close implements Map.
func (c *common) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	Unregister(c.info.Handle)
	if v := &c.info.Values; len(c.info.Fields) > 0 {
		for i := range v.N {
			c.info.Fields.Free(&c.info, v.Addr(i))
		}
	}
	if c.mem == nil {
		return nil
	}
	return c.mem.Free()
}
