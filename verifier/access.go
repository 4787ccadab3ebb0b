package verifier

import "github.com/skep-ebpf/skep/isa"

// load looks at a load (LDX, sign-extending too).
func (c *checker) load(ins *isa.Instruction) error {
	return c.fail(CauseUnsupported, "load is not implemented")
}

// storeImm looks at a store of an immediate.
func (c *checker) storeImm(ins *isa.Instruction) error {
	return c.fail(CauseUnsupported, "storeImm is not implemented")
}

// storeReg looks at a store of a register.
func (c *checker) storeReg(ins *isa.Instruction) error {
	return c.fail(CauseUnsupported, "storeReg is not implemented")
}

// atomic looks at an atomic instruction, load-acquire and store-release.
func (c *checker) atomic(ins *isa.Instruction) error {
	return c.fail(CauseUnsupported, "atomic is not implemented")
}

// loadPacket looks at the historical packet loads (LD_ABS, LD_IND).
func (c *checker) loadPacket(ins *isa.Instruction) error {
	return c.fail(CauseUnsupported, "loadPacket is not implemented")
}

// loadImm64 looks at a wide immediate load: a number, map, map value, variable or
// function. It leaves c.insn at its second slot.
func (c *checker) loadImm64(ins *isa.Instruction) error {
	return c.fail(CauseUnsupported, "loadImm64 is not implemented")
}

// access checks a load or store of size bytes at an offset from the register (number n, for messages).
// value is the register that is loaded or stored; -1: none (check_mem_access).
func (c *checker) access(r *Reg, n uint8, off, size int, write bool, value int) error {
	return c.fail(CauseUnsupported, "access is not implemented")
}

// memory checks that a call may read or write size bytes where a register points to
// (check_helper_mem_access).
func (c *checker) memory(n uint8, size int, write, zeroOK bool) error {
	return c.fail(CauseUnsupported, "memory is not implemented")
}

// memoryUninit is memory for calls that only write: bytes of the stack that nothing was
// stored to are fine. It reports whether the caller must mark the bytes as written, by
// access to each, when all arguments have been checked (meta.raw_mode, meta.access_size).
func (c *checker) memoryUninit(n uint8, size int, zeroOK bool) (unwritten bool, err error) {
	return false, c.fail(CauseUnsupported, "memoryUninit is not implemented")
}
