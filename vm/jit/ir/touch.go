package ir

import (
	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/vm/helper"
	"github.com/skep-ebpf/skep/vm/maps"
)

// Calls is what a program's calls of helpers lead to.
type Calls struct {
	Type    ebpf.ProgramType // the program's
	Helpers []*helper.Helper // what Imm of a Helper is the index of
	Maps    []maps.Map       // what Off-1 of one is
	// Several gives some of the maps that a call at an instruction of the bytecode is
	// made with where they are several; nil: unknown.
	Several func(at int32) []int
}

// Touch is memory that a call reads, and perhaps writes, through an argument.
type Touch struct {
	Arg Var // R1 to R5: the address
	// Size is how many bytes there are at most: those that Length has, where that is
	// another argument; Everything: the whole frame.
	Size   int32
	Length Var
	Writes bool
}

// Everything is the size of what nobody knows the size of.
const Everything = 1 << 30

// Touches appends what a Helper or Call instruction touches where the argument is an
// address in the function's frame. It touches nothing else of the frame, unless that
// memory holds addresses of it. False where the call may do anything.
func (p *Program) Touches(i *Ins, touches []Touch) ([]Touch, bool) {
	switch {
	case i.Op == Call && p.Funcs[i.Imm].Entry < 0:
		return append(touches, p.Funcs[i.Imm].Touches...), true
	case i.Op == Helper && p.Calls != nil:
		return p.Calls.touches(i, touches)
	}
	return nil, false
}

func (c *Calls) touches(i *Ins, touches []Touch) ([]Touch, bool) {
	for k, arg := range c.Helpers[i.Imm].Args {
		t := Touch{Arg: Var(k + 1), Size: Everything, Length: None}
		switch arg {
		case helper.ArgPtrToCtx, helper.ArgConstMapPtr, helper.ArgConstSize, helper.ArgConstSizeOrZero, helper.ArgConstAllocSize,
			helper.ArgPtrToConstStr, helper.ArgPtrToRingbufMem, helper.ArgPtrToSocket, helper.ArgPtrToSocketOrNull,
			helper.ArgPtrToOwnedSocket, helper.ArgPtrToCtxOrSocket:
			continue // never in the frame
		case helper.ArgAnything: // the reads of memory take any address
		case helper.ArgPtrToMapKey:
			t.Size = c.keySize(i)
		case helper.ArgPtrToMapValue:
			t.Size = c.valueSize(i)
		case helper.ArgPtrToUninitMapValue:
			t.Size, t.Writes = c.valueSize(i), true
		case helper.ArgPtrToMem, helper.ArgPtrToMemOrNull, helper.ArgPtrToUninitMem, helper.ArgPtrToUninitMemOrNull:
			t.Length, t.Writes = t.Arg+1, true // some change what they read
		case helper.ArgPtrToInt:
			t.Size, t.Writes = 4, true
		case helper.ArgPtrToLong:
			t.Size, t.Writes = 8, true
		case helper.ArgPtrToFixedMem:
			t.Size, t.Writes = int32(c.Helpers[i.Imm].FixedSize), true
		default:
			return nil, false
		}
		touches = append(touches, t)
	}
	return touches, true
}

// keySize and valueSize are those of the map that a helper is called with, in
// bytes.
func (c *Calls) keySize(i *Ins) int32 {
	if i.Off == 0 {
		return Everything
	}
	return int32(c.Maps[i.Off-1].Info().KeySize)
}

func (c *Calls) valueSize(i *Ins) int32 {
	if i.Off == 0 {
		return Everything
	}
	return int32(c.Maps[i.Off-1].Info().ValueSize)
}
