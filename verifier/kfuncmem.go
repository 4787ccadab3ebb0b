package verifier

import (
	"math"

	"github.com/cilium/ebpf/btf"
)

// memArg looks at an argument that points to memory of its type's size.
func (c *checker) memArg(n uint8, target btf.Type) error {
	size, ok := sizeOf(target)
	if !ok {
		t := btf.UnderlyingType(target)
		return c.failReg(CauseArgument, int(n), "R%d reference type('%s %s') size cannot be determined: -22",
			n, kindName(t), t.TypeName())
	}
	return c.memoryArg(n, size)
}

// memoryArg checks that a register points to size bytes that may be read and written,
// or is NULL (check_mem_reg).
func (c *checker) memoryArg(n uint8, size uint32) error {
	r := c.reg(n)
	if r.isZero() {
		return nil
	}
	if size > math.MaxInt32 {
		return c.failReg(CauseBounds, int(n), "R%d memory size %d is too large", n, size)
	}
	return c.asNotNull(n, func() error {
		if err := c.memory(n, int(size), false, true); err != nil {
			return err
		}
		return c.memory(n, int(size), true, true)
	})
}

// asNotNull does something with a register as if it was known not to be NULL.
func (c *checker) asNotNull(n uint8, do func() error) error {
	r := c.reg(n)
	if !r.maybeNull() {
		return do()
	}
	saved := *r
	r.setNotNull()
	err := do()
	*r = saved
	return err
}

// sizedArg looks at an argument that points to memory, and at its size behind it.
func (c *checker) sizedArg(call *kfuncCall, n uint8, p, size *btf.FuncParam) error {
	if !c.reg(n).isZero() || !suffixed(p, "__nullable") && !suffixed(p, "__opt") {
		if err := c.asNotNull(n, func() error { return c.sizedMemory(n) }); err != nil {
			return err
		}
	}
	if suffixed(size, "__szk") {
		return c.knownArg(call, n+1)
	}
	return nil
}

// sizedMemory checks that register n points to as many bytes that may be read and
// written as the next says.
func (c *checker) sizedMemory(n uint8) error {
	if err := c.sizeBounded(n+1, true); err != nil {
		return err
	}
	size := int(c.reg(n + 1).UMax)
	for _, write := range []bool{false, true} {
		if err := c.memory(n, size, write, true); err != nil {
			return err
		}
	}
	return c.precise(n + 1)
}
