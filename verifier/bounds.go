package verifier

import (
	"math"

	"github.com/skep-ebpf/skep/verifier/scalar"
)

// maxVarOff is how far a variable offset may reach (BPF_MAX_VAR_OFF).
const maxVarOff = 1 << 29

// fixed reports whether a pointer's offset is constant.
func (r *Reg) fixed() bool { return r.Value.IsConst() }

// minOffset is the least offset of a pointer, fixed and variable part together: the
// offset itself where it is constant.
func (r *Reg) minOffset() int64 {
	if r.SMin == math.MinInt64 {
		return math.MinInt64
	}
	return r.SMin + int64(r.Off)
}

// maxOffset is the greatest.
func (r *Reg) maxOffset() int64 {
	if r.SMax == math.MaxInt64 {
		return math.MaxInt64
	}
	return r.SMax + int64(r.Off)
}

// offsetBits are the known bits of a pointer's whole offset, as the log prints them.
func (r *Reg) offsetBits() scalar.Tnum {
	return r.Bits.Add(scalar.Tnum{Value: uint64(int64(r.Off))})
}

// foldsOffsets reports whether Linux keeps fixed and variable part of an offset as
// one number: a negative constant is a huge unsigned one then.
func (c *checker) foldsOffsets() bool { return c.since(7, 0) }

// unsignedEnd is the greatest offset as an unsigned number, and the fixed offset that
// is to be added to it.
func (c *checker) unsignedEnd(r *Reg) (end uint64, rest int64) {
	if !c.foldsOffsets() {
		return r.UMax, int64(r.Off)
	}
	end = r.UMax + uint64(int64(r.Off))
	if r.Off >= 0 && end < r.UMax || r.Off < 0 && r.UMax >= uint64(-int64(r.Off)) && r.UMin < uint64(-int64(r.Off)) {
		return math.MaxUint64, 0
	}
	return end, 0
}

// region checks that size bytes at an offset from a register lie within an object of
// limit bytes that it points into, at each value of its variable offset
// (check_mem_region_access).
func (c *checker) region(r *Reg, n uint8, off, size int, limit int64, zeroOK bool) error {
	begin, fixed := r.SMin, int64(r.Off)
	if c.foldsOffsets() {
		begin, fixed = r.minOffset(), 0
	}
	at := int64(off) + fixed
	if begin < 0 && (begin == math.MinInt64 || at+begin < math.MinInt32 || at+begin < 0) {
		return c.failReg(CauseUnboundedOffset, int(n), "R%d min value is negative, either use unsigned index or do a if (index >=0) check.", n)
	}
	if !inBounds(begin+at, size, limit, zeroOK) {
		return c.outside(r, n, begin+at, size, limit, "min")
	}
	end, rest := c.unsignedEnd(r)
	if end >= maxVarOff {
		return c.failReg(CauseUnboundedOffset, int(n), "R%d unbounded memory access, make sure to bounds check any such access", n)
	}
	if last := int64(end) + rest + int64(off); !inBounds(last, size, limit, zeroOK) {
		return c.outside(r, n, last, size, limit, "max")
	}
	return nil
}

func inBounds(off int64, size int, limit int64, zeroOK bool) bool {
	return off >= 0 && (size > 0 || size == 0 && zeroOK) && off+int64(size) <= limit
}

// outside refuses an access that the least or the greatest value of an offset takes
// out of an object.
func (c *checker) outside(r *Reg, n uint8, off int64, size int, limit int64, end string) error {
	const then = "\nR%d %s value is outside of the allowed memory range"
	switch r.Type {
	case PtrToMapKey:
		return c.failReg(CauseBounds, int(n), "invalid access to map key, key_size=%d off=%d size=%d"+then, limit, off, size, n, end)
	case PtrToMapValue:
		return c.failReg(CauseBounds, int(n), "invalid access to map value, value_size=%d off=%d size=%d"+then, limit, off, size, n, end)
	case PtrToPacket, PtrToPacketMeta, PtrToPacketEnd:
		return c.failReg(CausePacketBounds, int(n), "invalid access to packet, off=%d size=%d, R%d(id=%d,off=%d,r=%d)"+then,
			off, size, n, r.ID, off, limit, n, end)
	case PtrToCtx:
		return c.failReg(CauseBounds, int(n), "invalid access to context, ctx_size=%d off=%d size=%d"+then, limit, off, size, n, end)
	}
	return c.failReg(CauseBounds, int(n), "invalid access to memory, mem_size=%d off=%d size=%d"+then, limit, off, size, n, end)
}

// unmodified refuses a pointer that something was added to, or where fixedOK that
// something variable or negative was (__check_ptr_off_reg).
func (c *checker) unmodified(r *Reg, n uint8, fixedOK bool) error {
	switch off := r.minOffset(); {
	case !r.fixed():
		return c.failReg(CausePointerArithmetic, int(n), "variable %s access var_off=%s disallowed", r.typeName(), r.offsetBits())
	case off < 0:
		return c.failReg(CausePointerArithmetic, int(n), "negative offset %s ptr R%d off=%d disallowed", r.typeName(), n, off)
	case !fixedOK && off != 0:
		return c.failReg(CausePointerArithmetic, int(n), "dereference of modified %s ptr R%d off=%d disallowed", r.typeName(), n, off)
	}
	return nil
}

// netIPAlign is how far Linux assumes that packets begin behind an aligned address.
const netIPAlign = 2

// alignNames are what the log calls memory in messages on alignment.
var alignNames = [...]string{
	PtrToFlowKeys: "flow keys ", PtrToMapKey: "key ", PtrToMapValue: "value ", PtrToCtx: "context ", PtrToStack: "stack ",
	PtrToSocket: "sock ", PtrToSockCommon: "sock_common ", PtrToTCPSock: "tcp_sock ", PtrToXDPSock: "xdp_sock ",
	PtrToInsn: "",
}

// aligned refuses a misaligned access where alignment matters (check_ptr_alignment).
func (c *checker) aligned(a *memAccess) error {
	r := a.reg
	// What the stack's slots hold is known by whole accesses only.
	strict := c.strict || a.strict || r.Type == PtrToStack || r.Type == PtrToMapValue && r.Map.isInsnArray()
	if !strict || a.size == 1 || r.Type == PtrToArena {
		return nil
	}
	off, mask := uint64(int64(r.Off)+int64(a.off)), uint64(a.size-1)
	if r.isPacket() {
		if (r.Bits.Value+off+netIPAlign|r.Bits.Mask)&mask != 0 {
			return c.failReg(CauseAlignment, int(a.n), "misaligned packet access off %d+%s+%d size %d", netIPAlign, r.offsetBits(), a.off, a.size)
		}
		return nil
	}
	if (r.Bits.Value+off|r.Bits.Mask)&mask != 0 {
		name := ""
		if r.Flags == 0 {
			name = alignNames[r.Type]
		}
		return c.failReg(CauseAlignment, int(a.n), "misaligned %saccess off %s+%d size %d", name, r.offsetBits(), a.off, a.size)
	}
	return nil
}
