package interp

import (
	"fmt"
	"sync/atomic"

	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/verifier"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/maps"
)

// Slow does the access of an instruction that is not done in place ([Program.Access]).
// base is the address that its register holds, value the source register, and r0 R0, as
// far as the instruction uses them. It gives what the register becomes that the
// instruction writes ([isa.Instruction.Writes]), if it writes one. An error is a [*Fault].
func (p *Program) Slow(s *exec.State, insn int, base, value, r0 uint64) (uint64, error) {
	ins := p.in.Insns[insn]
	if ins.Class() == isa.ClassST {
		value = uint64(int64(ins.Imm))
	}
	a, n := uintptr(base)+uintptr(ins.Off), uintptr(isa.SizeOf(ins.Op))
	load := ins.Class() == isa.ClassLDX || isLoadAcquire(ins)
	var v uint64
	var reason string
	switch kind := p.in.Facts[insn].Memory; {
	case kind == verifier.MemContext && len(p.in.Type.Fields) > 0:
		v, _, reason = p.accessField(s, ins, base, value)
	case kind == verifier.MemMap:
		v, reason = p.loadMap(maps.Get(maps.Handle(base)), ins)
	case kind == verifier.MemArena:
		v = p.arena.access(ins, base, value, r0)
	case kind == verifier.MemBuffer && (a-s.Buffer.Base >= s.Buffer.Size || s.Buffer.Size-(a-s.Buffer.Base) < n):
		at := int64(a - s.Buffer.Base)
		reason = fmt.Sprintf("may reach %d bytes from the first byte of what the context points to, the access wants bytes %d..%d", s.Buffer.Size, at, at+int64(n))
	case kind == verifier.MemBuffer:
		v = transfer(a, ins, value, r0)
	default:
		at, ok := s.Place(a, n)
		switch {
		case ok:
			v = transfer(at, ins, value, r0)
		case !load:
			reason = fmt.Sprintf("is 0x%x, where the machine has no memory to write", base)
		case kind == verifier.MemMixed:
			if m := maps.Get(maps.Handle(base)); m != nil && base>>32 == 0 {
				v, reason = p.loadMap(m, ins)
			}
		}
	}
	if reason != "" {
		return 0, p.Fault(insn, fmt.Sprintf("R%d %s", addressReg(ins), reason))
	}
	return v, nil
}

// addressReg is the register that an access has its address from.
func addressReg(ins isa.Instruction) uint8 {
	if ins.Class() == isa.ClassLDX || isLoadAcquire(ins) {
		return ins.Src
	}
	return ins.Dst
}

// transfer does a load, store or atomic operation at an address, and gives what its
// register becomes.
func transfer(a uintptr, ins isa.Instruction, value, r0 uint64) uint64 {
	size := isa.SizeOf(ins.Op)
	switch {
	case ins.Class() == isa.ClassLDX:
		return extend(ins, loadWidth(a, size))
	case ins.Op&0xe0 != isa.ModeATOMIC:
		storeWidth(a, size, value)
		return 0
	}
	at := mem.At(a)
	switch {
	case ins.Imm == isa.AtomicLoadAcq:
		switch size {
		case 1:
			return uint64(loadAcquire8(at))
		case 2:
			return uint64(loadAcquire16(at))
		case 4:
			return uint64(loadAcquire32(at))
		}
		return loadAcquire64(at)
	case ins.Imm == isa.AtomicStoreRl:
		switch size {
		case 1:
			storeRelease8(at, uint8(value))
		case 2:
			storeRelease16(at, uint16(value))
		case 4:
			storeRelease32(at, uint32(value))
		default:
			storeRelease64(at, value)
		}
		return 0
	case size == 4:
		return uint64(update32((*uint32)(at), ins.Imm, uint32(value), uint32(r0)))
	}
	return update64((*uint64)(at), ins.Imm, value, r0)
}

// update32 is an atomic operation, and gives the value before it.
func update32(p *uint32, operation int32, v, expect uint32) uint32 {
	switch operation &^ isa.AtomicFetch {
	case isa.AtomicADD:
		return fetchAdd32(p, v)
	case isa.AtomicOR:
		return fetchOr32(p, v)
	case isa.AtomicAND:
		return fetchAnd32(p, v)
	case isa.AtomicXOR:
		return fetchXor32(p, v)
	case isa.AtomicXCHG &^ isa.AtomicFetch:
		return atomic.SwapUint32(p, v)
	}
	return cmpxchg32(p, expect, v)
}

// update64 is update32 of 8 bytes.
func update64(p *uint64, operation int32, v, expect uint64) uint64 {
	switch operation &^ isa.AtomicFetch {
	case isa.AtomicADD:
		return fetchAdd64(p, v)
	case isa.AtomicOR:
		return fetchOr64(p, v)
	case isa.AtomicAND:
		return fetchAnd64(p, v)
	case isa.AtomicXOR:
		return fetchXor64(p, v)
	case isa.AtomicXCHG &^ isa.AtomicFetch:
		return atomic.SwapUint64(p, v)
	}
	return cmpxchg64(p, expect, v)
}

// extend is what a load gives of the bytes that it found.
func extend(ins isa.Instruction, v uint64) uint64 {
	if ins.Op&0xe0 != isa.ModeMEMSX {
		return v
	}
	shift := 64 - 8*isa.SizeOf(ins.Op)
	return uint64(int64(v<<shift) >> shift)
}
