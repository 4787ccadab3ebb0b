package verifier

import (
	"math"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/verifier/scalar"
)

// memAccess is one load or store.
type memAccess struct {
	reg    *Reg  // the pointer
	n      uint8 // its register
	off    int   // what the instruction adds to it, bytes
	size   int   // bytes
	write  bool
	signed bool // a load that extends the sign
	strict bool // must be aligned, whatever the loader asked for
	value  int  // the register stored, or loaded to; -1: none
}

// load looks at a load (LDX, sign-extending too).
func (c *checker) load(ins *isa.Instruction) error {
	return c.loadInto(ins, false)
}

// loadInto is load; acquire is the atomic one's.
func (c *checker) loadInto(ins *isa.Instruction, acquire bool) error {
	if err := c.read(ins.Src); err != nil {
		return err
	}
	if err := c.write(ins.Dst); err != nil {
		return err
	}
	src := c.reg(ins.Src)
	from := pointerOf(src)
	a := memAccess{
		reg: src, n: ins.Src, off: int(ins.Off), size: isa.SizeOf(ins.Op), value: int(ins.Dst),
		signed: ins.Op&0xe0 == isa.ModeMEMSX, strict: acquire,
	}
	if err := c.accessMemory(&a); err != nil {
		return err
	}
	return c.notePointer(from, !acquire)
}

// storeImm looks at a store of an immediate.
func (c *checker) storeImm(ins *isa.Instruction) error {
	if err := c.read(ins.Dst); err != nil {
		return err
	}
	dst := c.reg(ins.Dst)
	to := pointerOf(dst)
	if to.Type == PtrToCtx && !c.since(6, 4) {
		return c.failReg(CauseContext, int(ins.Dst), "BPF_ST stores into R%d %s is not allowed", ins.Dst, dst.typeName())
	}
	a := memAccess{reg: dst, n: ins.Dst, off: int(ins.Off), size: isa.SizeOf(ins.Op), write: true, value: -1}
	if err := c.accessMemory(&a); err != nil {
		return err
	}
	return c.notePointer(to, false)
}

// storeReg looks at a store of a register.
func (c *checker) storeReg(ins *isa.Instruction) error {
	return c.storeFrom(ins, false)
}

// storeFrom is storeReg; release is the atomic one's.
func (c *checker) storeFrom(ins *isa.Instruction, release bool) error {
	if err := c.read(ins.Src); err != nil {
		return err
	}
	if err := c.read(ins.Dst); err != nil {
		return err
	}
	dst := c.reg(ins.Dst)
	to := pointerOf(dst)
	a := memAccess{
		reg: dst, n: ins.Dst, off: int(ins.Off), size: isa.SizeOf(ins.Op), write: true, value: int(ins.Src),
		strict: release,
	}
	if err := c.accessMemory(&a); err != nil {
		return err
	}
	return c.notePointer(to, false)
}

// access checks a load or store of size bytes at an offset from the register (number n, for messages).
// value is the register that is loaded or stored; -1: none (check_mem_access).
func (c *checker) access(r *Reg, n uint8, off, size int, write bool, value int) error {
	return c.accessMemory(&memAccess{reg: r, n: n, off: off, size: size, write: write, value: value})
}

// accessMemory checks an access and sets the register that is loaded.
func (c *checker) accessMemory(a *memAccess) error {
	if err := c.aligned(a); err != nil {
		return err
	}
	r := a.reg
	var err error
	switch r.Type {
	case PtrToStack:
		err = c.accessStack(a)
	case PtrToMapValue:
		if r.maybeNull() {
			return c.invalidAccess(a)
		}
		err = c.accessMapValue(a)
	case PtrToMapKey:
		err = c.accessMapKey(a)
	case PtrToPacket, PtrToPacketMeta:
		err = c.accessPacket(a)
	case PtrToCtx:
		err = c.accessContext(a)
	case PtrToMem:
		err = c.accessMem(a)
	case PtrToBuf:
		err = c.accessBuf(a)
	case PtrToTPBuffer:
		err = c.accessTPBuffer(a)
	case PtrToFlowKeys:
		err = c.accessFlowKeys(a)
	case PtrToSocket, PtrToSockCommon, PtrToTCPSock, PtrToXDPSock:
		err = c.accessSocket(a)
	case PtrToBTF:
		err = c.accessBTF(a)
	case ConstPtrToMap:
		err = c.accessMap(a)
	case PtrToArena:
		c.loaded(a)
	default:
		return c.invalidAccess(a)
	}
	if err != nil || a.write || a.value < 0 {
		return err
	}
	c.narrow(a)
	return nil
}

// invalidAccess refuses an access through what is no pointer to memory.
func (c *checker) invalidAccess(a *memAccess) error {
	cause := CauseNotPointer
	if a.reg.maybeNull() {
		cause = CauseMaybeNull
	}
	return c.failReg(cause, int(a.n), "R%d invalid mem access '%s'", a.n, a.reg.typeName())
}

// loaded sets the register that a load fills to any number.
func (c *checker) loaded(a *memAccess) {
	if !a.write && a.value >= 0 {
		c.setUnknown(uint8(a.value))
	}
}

// What loads of 1, 2 and 4 bytes can give, by their width.
var (
	zeroExtended = [5]scalar.Value{
		1: scalar.Range(0, math.MaxUint8), 2: scalar.Range(0, math.MaxUint16), 4: scalar.Range(0, math.MaxUint32),
	}
	signExtended = [5]scalar.Value{
		1: scalar.SignedRange(math.MinInt8, math.MaxInt8), 2: scalar.SignedRange(math.MinInt16, math.MaxInt16),
		4: scalar.SignedRange(math.MinInt32, math.MaxInt32),
	}
)

// narrow makes the number that was loaded what so few bytes can be.
func (c *checker) narrow(a *memAccess) {
	r := c.reg(uint8(a.value))
	switch {
	case a.size == 8 || r.Type != Scalar:
	case r.Value == unknown && a.signed:
		r.Value = signExtended[a.size]
	case r.Value == unknown:
		r.Value = zeroExtended[a.size]
	case !a.signed:
		r.Value.Truncate(c.rules, a.size)
	default:
		// A number that the extension changes is not what it was linked to any more.
		same := r.UMax < 1<<(8*a.size-1)
		r.Value.SignExtend(c.rules, a.size)
		if !same {
			r.unlink()
		}
	}
}

// notePointer holds what an instruction accesses memory through against what it was on
// other paths: the instruction is rewritten for some, and cannot serve others
// (save_aux_ptr_type). trust says that an access may be made safe for the less
// trusted of two.
func (c *checker) notePointer(p pointer, trust bool) error {
	aux := &c.aux[c.insn]
	was := &aux.access
	if p.passed() {
		aux.passed |= passedAccess
	}
	switch {
	case was.Type == NotInit:
		*was, aux.memory = p, p.memory()
		return nil
	case was.Type == p.Type && was.Flags == p.Flags:
	case mixes(p.Type) && mixes(was.Type):
		aux.accessMany = true
	case trust && typed(p.Type) && typed(was.Type):
		if p.Type == PtrToMem {
			was.Type = PtrToMem
		}
		was.Flags = (was.Flags | p.Flags) & (Untrusted | Readonly)
	default:
		return c.fail(CauseInstruction, "same insn cannot be used with different pointers")
	}
	aux.memory = aux.memory.join(p.memory())
	if p.off != was.off {
		was.off = VaryingOffset
	}
	return nil
}

// mixes reports whether an instruction may access memory through such a pointer on one
// path and through another on the next.
func mixes(t RegType) bool {
	switch t {
	case PtrToCtx, PtrToSocket, PtrToSockCommon, PtrToTCPSock, PtrToXDPSock, PtrToBTF, PtrToArena:
		return false
	}
	return true
}

func typed(t RegType) bool { return t == PtrToMem || t == PtrToBTF }

// leaksInto refuses to store an address where others can read it.
func (c *checker) leaksInto(a *memAccess, where string) error {
	if a.write && a.value >= 0 && c.isPointer(uint8(a.value)) {
		return c.failReg(CausePointerLeak, a.value, "R%d leaks addr into %s", a.value, where)
	}
	return nil
}

// writesReadonly refuses a store through a pointer to what is read-only.
func (c *checker) writesReadonly(r *Reg, n uint8) error {
	return c.failReg(CauseReadOnly, int(n), "R%d cannot write into %s", n, r.typeName())
}

// accessMem checks an access to memory of a known size.
func (c *checker) accessMem(a *memAccess) error {
	r := a.reg
	switch {
	case r.maybeNull():
		return c.invalidAccess(a)
	case a.write && r.Flags&Readonly != 0:
		return c.writesReadonly(r, a.n)
	}
	if err := c.leaksInto(a, "mem"); err != nil {
		return err
	}
	// What lies behind an untrusted address is read so that it may fail.
	if r.Flags&(Readonly|Untrusted) != Readonly|Untrusted {
		if err := c.region(r, a.n, a.off, a.size, int64(r.Size), false); err != nil {
			return err
		}
	}
	c.loaded(a)
	return nil
}

// accessBuf checks an access to a buffer of an iterator.
func (c *checker) accessBuf(a *memAccess) error {
	r := a.reg
	switch {
	case r.maybeNull():
		return c.invalidAccess(a)
	case a.write && r.Flags&Readonly != 0:
		return c.writesReadonly(r, a.n)
	}
	if err := c.buffer(r, a.n, a.off); err != nil {
		return err
	}
	c.loaded(a)
	return nil
}

// accessTPBuffer checks an access to the buffer of a writable tracepoint.
func (c *checker) accessTPBuffer(a *memAccess) error {
	if err := c.buffer(a.reg, a.n, a.off); err != nil {
		return err
	}
	c.loaded(a)
	return nil
}

// buffer checks an offset into a buffer whose size is known when the program is
// attached: it must be constant, and not before the buffer.
func (c *checker) buffer(r *Reg, n uint8, off int) error {
	if !r.fixed() {
		return c.failReg(CauseUnboundedOffset, int(n), "R%d invalid variable buffer offset: off=%d, var_off=%s", n, off, r.offsetBits())
	}
	if start := r.minOffset(); start+int64(off) < 0 {
		kind := "rdwr"
		switch {
		case r.Type == PtrToTPBuffer:
			kind = "tracepoint"
		case r.Flags&Readonly != 0:
			kind = "rdonly"
		}
		return c.failReg(CauseBounds, int(n), "R%d invalid negative %s buffer offset: off=%d, var_off=%d", n, kind, off, start)
	}
	return nil
}

// flowKeysSize is the size of struct bpf_flow_keys, bytes.
const flowKeysSize = 56

// accessFlowKeys checks an access to struct bpf_flow_keys.
func (c *checker) accessFlowKeys(a *memAccess) error {
	if err := c.leaksInto(a, "flow keys"); err != nil {
		return err
	}
	if !a.reg.fixed() {
		return c.failReg(CauseUnboundedOffset, int(a.n), "R%d invalid variable offset to flow keys: off=%d, var_off=%s", a.n, a.off, a.reg.offsetBits())
	}
	if off := a.reg.minOffset() + int64(a.off); off < 0 || off+int64(a.size) > flowKeysSize {
		return c.failReg(CauseBounds, int(a.n), "invalid access to flow keys off=%d size=%d", off, a.size)
	}
	c.loaded(a)
	return nil
}
