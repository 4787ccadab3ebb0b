package verifier

import (
	"bytes"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/maps"
)

// callArgs is what is found of a helper's arguments, for what is looked at after them
// (struct bpf_call_arg_meta).
type callArgs struct {
	id    asm.BuiltinFunc
	proto *proto

	m      *Map // the map argument, or the map that the argument points into
	mapUID uint32

	sizeMax  uint64 // the greatest size of memory
	memSize  uint64 // of the memory that is returned
	constKey int64  // the key where it is known; -1: it is not
	function int    // the callback
	object   *Type  // of per-CPU variables: what they are
	kptr     *maps.Field

	// fill and fillSize are a pointer argument whose memory on the stack the helper
	// writes; fillSize 0: none.
	fill     uint8
	fillSize int

	released uint8  // the argument that is given back; 0: none
	ref      uint32 // the reference that an argument belongs to
	dynptr   *Reg   // the dynptr argument
}

// maxVarSize is the least size of memory that is too large for an argument
// (BPF_MAX_VAR_SIZ).
const maxVarSize = 1 << 29

// helperArgument checks one argument of a helper (check_func_arg).
func (c *checker) helperArgument(call *callArgs, n uint8) error {
	a := call.proto.args[n-isa.R1]
	if a == argNone {
		return nil
	}
	if err := c.read(n); err != nil {
		return err
	}
	r := c.reg(n)
	if a == argAny {
		if c.isPointer(n) {
			return c.failReg(CausePointerLeak, int(n), "R%d leaks addr into helper function", n)
		}
		return nil
	}
	if r.isPacket() && !c.mayTakePacket(call.proto) {
		return c.failReg(CauseArgument, int(n), "helper access to the packet is not allowed")
	}
	if a.kind() == argValue {
		var err error
		if a, err = c.valueArgument(call, a); err != nil {
			return err
		}
	}
	if a&argOrNull != 0 && r.isZero() {
		if err := c.precise(n); err != nil {
			return err
		}
	} else {
		if err := c.argumentType(call, n, a); err != nil {
			return err
		}
		if err := c.argumentOffset(n, a); err != nil {
			return err
		}
	}
	if a&argReleased != 0 {
		call.released = n
		if a.kind() != argDynptr && !c.isReferenced(r) && !r.isZero() {
			return c.notReferenced(call, n)
		}
	}
	if c.isReferenced(r) {
		call.ref = r.RefID
	}
	return c.argumentValue(call, n, a)
}

// notReferenced refuses to give back what the program does not own.
func (c *checker) notReferenced(call *callArgs, n uint8) error {
	if !c.since(7, 0) {
		return c.failReg(CauseReference, int(n), "R%d must be referenced when passed to release function", n)
	}
	return c.failReg(CauseReference, int(n), "release helper %s expects referenced PTR_TO_BTF_ID passed to R%d",
		helperName(call.id), n)
}

// mayTakePacket reports whether a helper's arguments may lie in the packet
// (may_access_direct_pkt_data).
func (c *checker) mayTakePacket(p *proto) bool {
	switch c.progType() {
	case ebpf.LWTIn, ebpf.LWTOut, ebpf.LWTSeg6Local, ebpf.SkReuseport, ebpf.FlowDissector, ebpf.CGroupSKB,
		ebpf.SchedCLS, ebpf.SchedACT, ebpf.XDP, ebpf.LWTXmit, ebpf.SkSKB, ebpf.SkMsg:
		return p.flags&takesPacket != 0
	case ebpf.CGroupSockopt:
		return true
	}
	return false
}

// valueArgument is what the argument for a map's value is where the map keeps no
// values as others do.
func (c *checker) valueArgument(call *callArgs, a arg) (arg, error) {
	if call.m == nil {
		return a, nil
	}
	switch call.m.Type {
	case ebpf.SockMap, ebpf.SockHash:
		if a != argValue {
			return 0, c.fail(CauseMap, "invalid arg_type for sockmap/sockhash")
		}
		return argBTFSock, nil
	case ebpf.BloomFilter:
		if call.id == asm.FnMapPeekElem {
			return argValue, nil
		}
	}
	return a, nil
}

// argumentValue checks what an argument of the right type refers to.
func (c *checker) argumentValue(call *callArgs, n uint8, a arg) error {
	r := c.reg(n)
	switch a.kind() {
	case argMap:
		return c.mapArgument(call, n)
	case argKey:
		return c.keyArgument(call, n)
	case argValue:
		if a&argOrNull != 0 && r.isZero() {
			return nil
		}
		if call.m.Type == ebpf.BloomFilter && call.id == asm.FnMapPeekElem {
			if err := c.notPoisoned(n, int(call.m.ValueSize)); err != nil {
				return err
			}
		}
		return c.memoryArgument(call, n, int(call.m.ValueSize), a, false)
	case argMem:
		if a.size() == 0 {
			return nil // with its size, which comes next
		}
		if err := c.memoryArgument(call, n, a.size(), a, false); err != nil || a&argAligned == 0 {
			return err
		}
		return c.aligned(&memAccess{reg: r, n: n, size: a.size(), strict: true})
	case argSize, argSizeOrZero:
		return c.sizedArgument(call, n, call.proto.args[n-isa.R1-1], a.kind() == argSizeOrZero)
	case argAllocSize:
		if !r.Value.IsConst() {
			return c.failReg(CauseArgument, int(n), "R%d is not a known constant'", n)
		}
		call.memSize = r.Value.Bits.Value
		return c.precise(n)
	case argPerCPUBTF:
		call.object = r.BTF
	case argSpinLock:
		op := lockOp(0)
		if call.id == asm.FnSpinLock {
			op = lockTake
		}
		return c.lockArgument(n, op)
	case argTimer:
		return c.fieldArgument(call, n, maps.FieldTimer, "bpf_timer")
	case argFunc:
		call.function = int(r.Size)
	case argDynptr:
		return c.dynptrArgument(call, n, a)
	case argConstStr:
		return c.stringArgument(n)
	case argKptr:
		return c.kptrArgument(call, n)
	}
	return nil
}

// notPoisoned refuses memory of the stack that nothing was written to, or nothing that
// Linux remembers: by its prototype it takes bpf_map_peek_elem to write what the call
// reads of a bloom filter, and forgets the bytes before.
func (c *checker) notPoisoned(n uint8, size int) error {
	r := c.reg(n)
	if r.Type != PtrToStack || !c.since(7, 1) {
		return nil
	}
	f, err := c.stackBounds(r, n, 0, size, false)
	if err != nil {
		return err
	}
	for off := int(r.minOffset()); off < int(r.maxOffset())+size; off++ {
		if f.stack[slotAt(off)].kind[off&7] == slotInvalid {
			return c.failReg(CauseUninitStack, int(n),
				"reading from stack R%d off %d+0 size %d, slot poisoned by dead code elimination", n, r.minOffset(), size)
		}
	}
	return nil
}

// mapArgument notes which map a helper works on. Where an earlier argument points into
// a map, as a timer does, it must be this one.
func (c *checker) mapArgument(call *callArgs, n uint8) error {
	r := c.reg(n)
	if call.m != nil && (call.m != r.Map || call.mapUID != r.MapUID) {
		return c.failReg(CauseMap, int(n), "timer pointer in R1 map_uid=%d doesn't match map pointer in R2 map_uid=%d",
			call.mapUID, r.MapUID)
	}
	call.m, call.mapUID = r.Map, r.MapUID
	return nil
}

func (c *checker) keyArgument(call *callArgs, n uint8) error {
	if err := c.memory(n, int(call.m.KeySize), false, false); err != nil {
		return err
	}
	if c.elidesNull(call.m) {
		call.constKey = c.knownKey(c.reg(n), int(call.m.KeySize))
	}
	return nil
}

// memoryArgument checks size bytes of memory that a helper reads or writes. Bytes of the
// stack that it only writes need not have been written before: it fills them.
func (c *checker) memoryArgument(call *callArgs, n uint8, size int, a arg, zeroOK bool) error {
	// Before 6.12 numbers that are filled in had to be there (ARG_PTR_TO_LONG).
	if a&argUninit == 0 || a&argAligned != 0 && !c.since(6, 12) {
		return c.memory(n, size, a&argWrite != 0, zeroOK)
	}
	unwritten, err := c.memoryUninit(n, size, zeroOK)
	if unwritten {
		call.fill, call.fillSize = n, size
	}
	return err
}

// sizedArgument checks a memory argument with the size that follows it in register n
// (check_mem_size_reg).
func (c *checker) sizedArgument(call *callArgs, n uint8, mem arg, zeroOK bool) error {
	size := c.reg(n)
	call.sizeMax = size.UMax
	if !size.Value.IsConst() {
		mem &^= argUninit // the helper may fill a part only
	}
	if err := c.sizeBounded(n, zeroOK); err != nil {
		return err
	}
	if err := c.memoryArgument(call, n-1, int(size.UMax), mem, zeroOK); err != nil {
		return err
	}
	return c.precise(n)
}

// sizeBounded refuses a size of memory that may be negative, zero or too large.
func (c *checker) sizeBounded(n uint8, zeroOK bool) error {
	size := c.reg(n)
	switch {
	case size.SMin < 0:
		return c.failReg(CauseUnboundedOffset, int(n),
			"R%d min value is negative, either use unsigned or 'var &= const'", n)
	case size.UMin == 0 && !zeroOK:
		return c.failReg(CauseUnboundedOffset, int(n), "R%d invalid zero-sized read: u64=[%d,%d]", n, size.UMin, size.UMax)
	case size.UMax >= maxVarSize:
		return c.failReg(CauseUnboundedOffset, int(n),
			"R%d unbounded memory access, use 'var &= const' or 'if (var < const)'", n)
	}
	return nil
}

func (c *checker) dynptrArgument(call *callArgs, n uint8, a arg) error {
	var kind RegFlags
	switch {
	case a&argLocal != 0:
		kind = DynptrLocal
	case a&argRingbuf != 0:
		kind = DynptrRingbuf
	}
	if a&argUninit != 0 {
		return c.newDynptr(n, kind, call.ref)
	}
	if a&argReleased != 0 && c.reg(n).Type == ConstPtrToDynptr {
		return c.failReg(CauseDynptr, int(n), "CONST_PTR_TO_DYNPTR cannot be released")
	}
	var err error
	call.dynptr, err = c.dynptrArg(n, kind)
	return err
}

// fieldArgument checks a pointer to a map value's special field
// (check_map_field_pointer).
func (c *checker) fieldArgument(call *callArgs, n uint8, kind maps.FieldKind, name string) error {
	if err := c.mapField(n, kind, name); err != nil {
		return err
	}
	r := c.reg(n)
	call.m, call.mapUID = r.Map, r.MapUID
	return nil
}

// mapField refuses a pointer that does not lead to the special field of a map's value.
func (c *checker) mapField(n uint8, kind maps.FieldKind, name string) error {
	r := c.reg(n)
	if !r.Value.IsConst() {
		return c.failReg(CauseArgument, int(n),
			"R%d doesn't have constant offset. %s has to be at the constant offset", n, name)
	}
	m := r.Map
	if m.Value == nil {
		return c.failReg(CauseBTF, int(n), "map '%s' has to have BTF in order to use %s", m.Name, name)
	}
	if !m.Fields.Has(kind) {
		return c.failReg(CauseMap, int(n), "map '%s' has no valid %s", m.Name, name)
	}
	if off, want := r.fixedOffset(), m.Fields.Offset(kind); off != int64(want) {
		return c.failReg(CauseArgument, int(n), "off %d doesn't point to 'struct %s' that is at %d", off, name, want)
	}
	return nil
}

// fixedOffset is the offset of a pointer whose offset is known.
func (r *Reg) fixedOffset() int64 { return int64(r.Off) + int64(r.Value.Bits.Value) }

// kptrArgument checks the place that bpf_kptr_xchg exchanges a pointer in
// (process_kptr_func).
func (c *checker) kptrArgument(call *callArgs, n uint8) error {
	r := c.reg(n)
	fields := r.fields()
	if r.Type == PtrToMapValue {
		if r.Map.Value == nil {
			return c.failReg(CauseBTF, int(n), "map '%s' has to have BTF in order to use bpf_kptr_xchg", r.Map.Name)
		}
		call.m = r.Map
	}
	if !r.Value.IsConst() {
		return c.failReg(CauseArgument, int(n),
			"R%d doesn't have constant offset. kptr has to be at the constant offset", n)
	}
	const kptrs = maps.FieldKptr | maps.FieldKptrPercpu
	if !fields.Has(kptrs | maps.FieldKptrUntrusted) {
		return c.failReg(CauseArgument, int(n), "R%d has no valid kptr", n)
	}
	off := r.fixedOffset()
	f := fields.At(uint32(off))
	if f == nil || f.Kind&(kptrs|maps.FieldKptrUntrusted) == 0 {
		return c.failReg(CauseArgument, int(n), "off=%d doesn't point to kptr", off)
	}
	if f.Kind&kptrs == 0 {
		return c.failReg(CauseArgument, int(n), "off=%d kptr isn't referenced kptr", off)
	}
	call.kptr = f
	return nil
}

// stringArgument checks a constant string (check_arg_const_str).
func (c *checker) stringArgument(n uint8) error {
	r := c.reg(n)
	if r.Map.Type == insnArray {
		return c.failReg(CauseMap, int(n), "R%d points to insn_array map which cannot be used as const string", n)
	}
	if r.Map.Frozen == nil {
		return c.failReg(CauseReadOnly, int(n), "R%d does not point to a readonly map'", n)
	}
	if !r.Value.IsConst() {
		return c.failReg(CauseArgument, int(n), "R%d is not a constant address'", n)
	}
	if err := c.memory(n, int(int64(r.Map.ValueSize)-r.fixedOffset()), false, false); err != nil {
		return err
	}
	if _, ok := r.constString(); !ok {
		return c.failReg(CauseArgument, int(n), "string is not zero-terminated")
	}
	return nil
}

// constString is the string that a register points to, in a map of constants.
func (r *Reg) constString() (string, bool) {
	b := r.Map.Frozen[r.fixedOffset():]
	i := bytes.IndexByte(b, 0)
	if i < 0 {
		return "", false
	}
	return string(b[:i]), true
}
