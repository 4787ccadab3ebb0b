package verifier

import "github.com/skep-ebpf/skep/isa"

// atomic looks at an atomic instruction, load-acquire and store-release.
func (c *checker) atomic(ins *isa.Instruction) error {
	switch ins.Imm {
	case isa.AtomicADD, isa.AtomicAND, isa.AtomicOR, isa.AtomicXOR,
		isa.AtomicADD | isa.AtomicFetch, isa.AtomicAND | isa.AtomicFetch, isa.AtomicOR | isa.AtomicFetch, isa.AtomicXOR | isa.AtomicFetch,
		isa.AtomicXCHG, isa.AtomicCMPXCHG:
		return c.atomicChange(ins)
	case isa.AtomicLoadAcq:
		return c.loadAcquire(ins)
	case isa.AtomicStoreRl:
		return c.storeRelease(ins)
	}
	return c.fail(CauseInstruction, "BPF_ATOMIC uses invalid atomic opcode %02x", uint32(ins.Imm))
}

// atomicChange looks at an instruction that reads and writes at once.
func (c *checker) atomicChange(ins *isa.Instruction) error {
	size := isa.SizeOf(ins.Op)
	if size < 4 {
		return c.fail(CauseInstruction, "invalid atomic operand size")
	}
	if err := c.read(ins.Src); err != nil {
		return err
	}
	if err := c.read(ins.Dst); err != nil {
		return err
	}
	if ins.Imm == isa.AtomicCMPXCHG {
		if err := c.read(isa.R0); err != nil {
			return err
		}
		if c.isPointer(isa.R0) {
			return c.failReg(CausePointerLeak, isa.R0, "R%d leaks addr into mem", isa.R0)
		}
	}
	if c.isPointer(ins.Src) {
		return c.failReg(CausePointerLeak, int(ins.Src), "R%d leaks addr into mem", ins.Src)
	}
	if !c.atomicAllowed(ins.Dst, false) {
		return c.failReg(CauseInstruction, int(ins.Dst), "BPF_ATOMIC stores into R%d %s is not allowed", ins.Dst, c.reg(ins.Dst).typeName())
	}
	result := fetchedTo(ins)
	if result >= 0 {
		if err := c.write(uint8(result)); err != nil {
			return err
		}
		c.setUnknown(uint8(result))
	}
	return c.readAndWrite(ins, size, result)
}

// readAndWrite checks that the memory may be read and written. The load's register may
// be the address's, which the store is checked by all the same.
func (c *checker) readAndWrite(ins *isa.Instruction, size, result int) error {
	dst := c.reg(ins.Dst)
	a := memAccess{reg: dst, n: ins.Dst, off: int(ins.Off), size: size, strict: true, value: -1}
	if err := c.accessMemory(&a); err != nil {
		return err
	}
	if result >= 0 {
		a.value = result
		if err := c.accessMemory(&a); err != nil {
			return err
		}
	}
	if err := c.notePointer(pointerOf(dst), false); err != nil {
		return err
	}
	a.value, a.write = -1, true
	return c.accessMemory(&a)
}

// fetchedTo is the register that an atomic instruction sets to what was in memory; -1:
// none.
func fetchedTo(ins *isa.Instruction) int {
	switch {
	case ins.Imm == isa.AtomicCMPXCHG:
		return isa.R0
	case ins.Imm&isa.AtomicFetch != 0:
		return int(ins.Src)
	}
	return -1
}

// atomicAllowed reports whether an atomic instruction may access what a register
// points to. A load-acquire is not guarded against faults, as other loads are.
func (c *checker) atomicAllowed(n uint8, acquire bool) bool {
	r := c.reg(n)
	switch r.Type {
	case PtrToCtx, PtrToPacket, PtrToPacketMeta, PtrToFlowKeys, PtrToSocket, PtrToSockCommon, PtrToTCPSock, PtrToXDPSock:
		return false
	case PtrToArena:
		return c.since(6, 10)
	}
	return !acquire || r.Flags&Untrusted == 0 && (r.Type != PtrToBTF || r.Flags != 0)
}

func (c *checker) loadAcquire(ins *isa.Instruction) error {
	if err := c.read(ins.Src); err != nil {
		return err
	}
	if !c.atomicAllowed(ins.Src, true) {
		return c.failReg(CauseInstruction, int(ins.Src), "BPF_ATOMIC loads from R%d %s is not allowed", ins.Src, c.reg(ins.Src).typeName())
	}
	return c.loadInto(ins, true)
}

func (c *checker) storeRelease(ins *isa.Instruction) error {
	if err := c.storeFrom(ins, true); err != nil {
		return err
	}
	if !c.atomicAllowed(ins.Dst, false) {
		return c.failReg(CauseInstruction, int(ins.Dst), "BPF_ATOMIC stores into R%d %s is not allowed", ins.Dst, c.reg(ins.Dst).typeName())
	}
	return nil
}
