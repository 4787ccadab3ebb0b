package helper

import (
	"math/bits"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/object"
)

func init() {
	registerKfuncs("6.4",
		&Helper{Name: "bpf_iter_num_new", Func: iterNumNew, Slot: SlotIterNum, Flags: Acquire,
			Args: []Arg{ArgPtrToUninitSlot, ArgAnything, ArgAnything}},
		&Helper{Name: "bpf_iter_num_next", Func: iterNumNext, Slot: SlotIterNum, Flags: RetNull, Ret: RetPtrToMemOrNull,
			Args: []Arg{ArgPtrToSlot}},
		&Helper{Name: "bpf_iter_num_destroy", Func: iterNumDestroy, Slot: SlotIterNum, Flags: Release, Ret: RetVoid,
			Args: []Arg{ArgPtrToReleasedSlot}},
	)
	registerKfuncs("6.11",
		&Helper{Name: "bpf_iter_bits_new", Func: iterBitsNew, Slot: SlotIterBits, Flags: Acquire,
			Args: []Arg{ArgPtrToUninitSlot, ArgAnything, ArgAnything}},
		&Helper{Name: "bpf_iter_bits_next", Func: iterBitsNext, Slot: SlotIterBits, Flags: RetNull, Ret: RetPtrToMemOrNull,
			Args: []Arg{ArgPtrToSlot}},
		&Helper{Name: "bpf_iter_bits_destroy", Func: iterBitsDestroy, Slot: SlotIterBits, Flags: Release, Ret: RetVoid,
			Args: []Arg{ArgPtrToReleasedSlot}},
	)
}

// iterNum counts from cur, exclusive, to end, exclusive.
type iterNum struct{ cur, end int32 }

func iterNumNew(_ *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	it, start, end := at[iterNum](r1), int32(r2), int32(r3)
	*it = iterNum{}
	switch {
	case start > end:
		return errno.EINVAL.Ret()
	case int64(end)-int64(start) > maxLoops:
		return errno.E2BIG.Ret()
	}
	*it = iterNum{cur: start - 1, end: end}
	return 0
}

// iterNumNext gives the address of the next number, which lies in the iterator.
func iterNumNext(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	it := at[iterNum](r1)
	if it.cur+1 >= it.end {
		*it = iterNum{}
		return 0
	}
	it.cur++
	return gives(s, uintptr(r1))
}

func iterNumDestroy(_ *exec.State, r1, _, _, _, _ uint64) uint64 {
	*at[iterNum](r1) = iterNum{}
	return 0
}

// iterBits gives the numbers of the bits that are set.
type iterBits struct {
	words uint64 // one word, or the address of an object with several
	n     int32  // bits
	bit   int32  // the last one given, or -1
}

// iterBitsMax is the most words that an iterator takes (BITS_ITER_NR_WORDS_MAX).
const iterBitsMax = 511

func iterBitsNew(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	it, words := at[iterBits](r1), uint32(r3)
	*it = iterBits{bit: -1}
	switch {
	case r2 == 0 || words == 0:
		return errno.EINVAL.Ret()
	case words > iterBitsMax:
		return errno.E2BIG.Ret()
	case s.Readable(uintptr(r2)) < uintptr(words)*8:
		return errno.EFAULT.Ret()
	case words == 1:
		it.words = *at[uint64](r2)
	default:
		copied := object.New(&object.Layout{Name: "words of bits", Size: words * 8})
		if copied == 0 {
			return errno.ENOMEM.Ret()
		}
		copy(mem.View(copied, int(words)*8), view(r2, uint64(words)*8))
		it.words = uint64(copied)
	}
	it.n = int32(words) * 64
	return 0
}

// iterBitsNext gives the address of the next bit's number, which lies in the
// iterator.
func iterBitsNext(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	it := at[iterBits](r1)
	if it.n == 0 || it.bit >= it.n {
		return 0
	}
	it.bit = it.next(it.bit + 1)
	if it.bit >= it.n {
		return 0
	}
	const bitOffset = 12
	return gives(s, uintptr(r1)+bitOffset)
}

// next is the first bit that is set from bit on, or n.
func (it *iterBits) next(bit int32) int32 {
	for bit < it.n {
		word := it.words
		if it.n > 64 {
			word = *at[uint64](it.words + uint64(bit/64*8))
		}
		if rest := word >> (bit % 64); rest != 0 {
			return bit + int32(bits.TrailingZeros64(rest))
		}
		bit = (bit/64 + 1) * 64
	}
	return it.n
}

func iterBitsDestroy(_ *exec.State, r1, _, _, _, _ uint64) uint64 {
	it := at[iterBits](r1)
	if it.n > 64 {
		object.Drop(uintptr(it.words))
	}
	*it = iterBits{}
	return 0
}
