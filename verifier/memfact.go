package verifier

import (
	"math"

	"github.com/skep-ebpf/skep/isa"
)

// Memory is what a load, a store or an atomic instruction reaches, in the terms of an
// engine that executes the program without checks.
type Memory uint8

// The kinds of memory.
const (
	MemNone    Memory = iota // no access, or one that no path reaches
	MemPlain                 // at the register's address, and there: the stack, a packet, a map's value ...
	MemContext               // the context: memory, or fields that the engine converts
	MemMap                   // the fields of a map itself
	MemArena                 // a place in an arena, whether a page is there or not
	MemBuffer                // the buffer that a writable tracepoint is called with, whose size its caller knows
	MemKernel                // what the kernel's types describe, or nobody knows: perhaps no memory, and then a load gives 0
	MemMixed                 // several of these but the context and arenas, on different paths
)

// join is what is reached by one path or the other.
func (m Memory) join(n Memory) Memory {
	if m == n {
		return m
	}
	return MemMixed
}

// VaryingOffset is a Fact.Offset that is not one number.
const VaryingOffset = math.MinInt32

// pointer is what is noted of a register that memory is accessed through.
type pointer struct {
	Type  RegType
	Flags RegFlags
	off   int32 // of one to the context: from its start, or VaryingOffset
}

func pointerOf(r *Reg) pointer {
	p := pointer{Type: r.Type, Flags: r.Flags}
	if r.Type != PtrToCtx {
		return p
	}
	p.off = VaryingOffset
	if r.fixed() {
		p.off = int32(r.minOffset())
	}
	return p
}

// memory is what an access through the pointer reaches.
func (p pointer) memory() Memory {
	switch p.Type {
	case PtrToCtx:
		return MemContext
	case ConstPtrToMap:
		return MemMap
	case PtrToArena:
		return MemArena
	case PtrToTPBuffer:
		return MemBuffer
	case PtrToBuf:
		return MemKernel
	case PtrToBTF:
		if p.Flags&(Alloc|Untrusted) != Alloc {
			return MemKernel
		}
	case PtrToMem:
		if p.Flags&(Untrusted|UserMem) != 0 {
			return MemKernel
		}
	}
	return MemPlain
}

// noteArguments notes which registers of a call may lead to memory that is not there.
// Of pointers that a global function was given as memory that depends on its calls.
func (c *checker) noteArguments() {
	aux := &c.aux[c.insn]
	for n := uint8(isa.R1); n <= isa.R5; n++ {
		switch p := pointerOf(c.reg(n)); {
		case p.memory() == MemKernel:
			aux.kernel |= 1 << n
		case p.passed():
			aux.passed |= 1 << n
		}
	}
}

// passed reports whether a pointer may be one that a global function was given as
// memory.
func (p pointer) passed() bool { return p.Type == PtrToMem && p.Flags&^MaybeNull == 0 }
