package maps

import (
	"encoding/binary"
	"math"
	"sync/atomic"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
)

// TypeInsnArray is BPF_MAP_TYPE_INSN_ARRAY, since Linux 6.19.
const TypeInsnArray ebpf.MapType = 34

// InsnArray is BPF_MAP_TYPE_INSN_ARRAY: a table of instructions that a program
// jumps to. User space writes their numbers, freezes the map, and loads the one
// program that uses it; the program reads their addresses. Memory is
//
//	values     16 bytes each: struct bpf_insn_array_value
//	addresses  8 bytes each
type InsnArray struct {
	common
	used atomic.Bool
}

// InsnBase is the address of a program's first instruction; each other one is as
// far from it as its number says. No memory of a machine is there.
const InsnBase = 1 << 62

// struct bpf_insn_array_value
const (
	insnValueSize = 16
	offOrig       = 0 // the instruction's number when the program was loaded
	offXlated     = 4 // and after Linux's verifier rewrote the program, which nobody does here
)

func checkInsnArray(spec *ebpf.MapSpec) error {
	switch {
	case spec.MaxEntries == 0:
		return refuse(errno.EINVAL, "max_entries is 0, and must be at least 1")
	case spec.KeySize != 4:
		return refuse(errno.EINVAL, "key_size is %d, and an instruction array's index has 4 bytes", spec.KeySize)
	case spec.ValueSize != insnValueSize:
		return refuse(errno.EINVAL, "value_size is %d, and must be the %d of struct bpf_insn_array_value", spec.ValueSize, insnValueSize)
	}
	return nil
}

func newInsnArray(info Info) (Map, error) {
	info.Flags |= FlagRdonlyProg
	a := &InsnArray{}
	a.init(info, a)
	n := uint64(info.MaxEntries)
	if err := a.reserve(n * (insnValueSize + 8)); err != nil {
		return nil, err
	}
	for i := range info.MaxEntries {
		a.setAddress(i, 0)
	}
	// To a program the map is its addresses.
	a.info.Values = Slab{Base: a.address(0), Stride: uintptr(8 * n), Size: uintptr(8 * n), N: 1}
	return a, nil
}

func (a *InsnArray) value(i uint32) []byte {
	return mem.View(a.mem.Addr()+uintptr(i)*insnValueSize, insnValueSize)
}

func (a *InsnArray) address(i uint32) uintptr {
	return a.mem.Addr() + uintptr(a.info.MaxEntries)*insnValueSize + uintptr(i)*8
}

func (a *InsnArray) setAddress(i, insn uint32) {
	atomic.StoreUint64((*uint64)(mem.At(a.address(i))), InsnBase+uint64(insn))
}

// Insn is the number of the i-th instruction.
func (a *InsnArray) Insn(i uint32) uint32 { return u32(a.value(i)[offOrig:]) }

// Use is what a program's load does with the map; valid says of which instructions
// it may be a table. EINVAL where the map is not frozen or has others, EBUSY where
// another program uses it.
func (a *InsnArray) Use(valid func(insn uint32) bool) error {
	if !a.frozen.Load() {
		return refuse(errno.EINVAL, "instruction array %s is not frozen: freeze it before a program that uses it is loaded", a.info.Name)
	}
	for i := range a.info.MaxEntries {
		if insn := a.Insn(i); !valid(insn) {
			return refuse(errno.EINVAL, "instruction array %s has instruction %d, which the program does not have", a.info.Name, insn)
		}
	}
	if !a.used.CompareAndSwap(false, true) {
		return refuse(errno.EBUSY, "instruction array %s is another program's", a.info.Name)
	}
	for i := range a.info.MaxEntries {
		v := a.value(i)
		copy(v[offXlated:offXlated+4], v[offOrig:])
	}
	return nil
}

// Release ends a Use.
func (a *InsnArray) Release() { a.used.Store(false) }

// Update implements Map: only user space writes.
func (*InsnArray) Update(int, []byte, []byte, uint64) error { return errno.EINVAL }

// Delete implements Map.
func (*InsnArray) Delete([]byte) error { return errno.EINVAL }

func (a *InsnArray) userLookup(key, value []byte, _ uint64) error {
	i := u32(key)
	if i >= a.info.MaxEntries {
		return errno.ENOENT
	}
	copy(value, a.value(i))
	return nil
}

func (a *InsnArray) userUpdate(key, value []byte, flags uint64) error {
	if err := a.info.CheckFlags(flags, math.MaxUint32); err != nil {
		return err
	}
	i := u32(key)
	switch {
	case i >= a.info.MaxEntries:
		return errno.E2BIG
	case flags&UpdateNoExist != 0:
		return errno.EEXIST
	case binary.NativeEndian.Uint64(value[offXlated:]) != 0: // xlated_off and jitted_off are not user space's
		return errno.EINVAL
	}
	insn := u32(value[offOrig:])
	putU32(a.value(i)[offOrig:], insn)
	a.setAddress(i, insn)
	return nil
}

func (*InsnArray) userDelete([]byte) error { return errno.EINVAL }

func (a *InsnArray) nextKey(key, next []byte) error { return nextIndex(key, next, a.info.MaxEntries) }
