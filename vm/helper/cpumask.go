package helper

import (
	"math/bits"
	"math/rand/v2"
	"sync/atomic"
	"unsafe"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/object"
)

// maskCPUs is how many CPUs a struct cpumask has bits for (NR_CPUS of the usual
// kernels). A struct bpf_cpumask has its count of references behind them, which
// the heap keeps here.
const maskCPUs = 8192

var maskLayout = object.Layout{Name: "struct bpf_cpumask", Size: maskCPUs/8 + 8, ReadOnly: true}

func init() {
	one, two := []Arg{ArgPtrToObject}, []Arg{ArgPtrToObject, ArgPtrToObject}
	three, cpu := []Arg{ArgPtrToObject, ArgPtrToObject, ArgPtrToObject}, []Arg{ArgAnything, ArgPtrToObject}
	registerKfuncs("6.3", only(kfuncsTracing,
		&Helper{Name: "bpf_cpumask_create", Func: maskCreate, Flags: Acquire | RetNull, Ret: RetPtrToObject},
		&Helper{Name: "bpf_cpumask_acquire", Func: acquireObject, Flags: Acquire, Ret: RetPtrToObject, Args: one},
		&Helper{Name: "bpf_cpumask_release", Func: dropObject, Flags: Release, Ret: RetVoid, Args: []Arg{ArgPtrToOwned}},
		&Helper{Name: "bpf_cpumask_first", Func: maskFind(1, func(a, _ uint64) uint64 { return a }), Args: one},
		&Helper{Name: "bpf_cpumask_first_zero", Func: maskFind(1, func(a, _ uint64) uint64 { return ^a }), Args: one},
		&Helper{Name: "bpf_cpumask_set_cpu", Func: maskChange(atomic.OrUint64), Ret: RetVoid, Args: cpu},
		&Helper{Name: "bpf_cpumask_clear_cpu", Func: maskChange(maskAndNot), Ret: RetVoid, Args: cpu},
		&Helper{Name: "bpf_cpumask_test_cpu", Func: maskTest, Args: cpu},
		&Helper{Name: "bpf_cpumask_test_and_set_cpu", Func: maskChange(atomic.OrUint64), Args: cpu},
		&Helper{Name: "bpf_cpumask_test_and_clear_cpu", Func: maskChange(maskAndNot), Args: cpu},
		&Helper{Name: "bpf_cpumask_setall", Func: maskFill(^uint64(0)), Ret: RetVoid, Args: one},
		&Helper{Name: "bpf_cpumask_clear", Func: maskFill(0), Ret: RetVoid, Args: one},
		&Helper{Name: "bpf_cpumask_and", Func: maskCombine(func(a, b uint64) uint64 { return a & b }), Args: three},
		&Helper{Name: "bpf_cpumask_or", Func: maskCombine(func(a, b uint64) uint64 { return a | b }), Ret: RetVoid, Args: three},
		&Helper{Name: "bpf_cpumask_xor", Func: maskCombine(func(a, b uint64) uint64 { return a ^ b }), Ret: RetVoid, Args: three},
		&Helper{Name: "bpf_cpumask_equal", Func: maskNone(2, func(a, b uint64) uint64 { return a ^ b }), Args: two},
		&Helper{Name: "bpf_cpumask_intersects", Func: maskIntersects, Args: two},
		&Helper{Name: "bpf_cpumask_subset", Func: maskNone(2, func(a, b uint64) uint64 { return a &^ b }), Args: two},
		&Helper{Name: "bpf_cpumask_empty", Func: maskNone(1, func(a, _ uint64) uint64 { return a }), Args: one},
		&Helper{Name: "bpf_cpumask_full", Func: maskNone(1, func(a, _ uint64) uint64 { return ^a }), Args: one},
		&Helper{Name: "bpf_cpumask_copy", Func: maskCopy, Ret: RetVoid, Args: two},
	)...)
	registerKfuncs("6.5", only(kfuncsTracing,
		&Helper{Name: "bpf_cpumask_first_and", Func: maskFind(2, func(a, b uint64) uint64 { return a & b }), Args: two},
		&Helper{Name: "bpf_cpumask_any_distribute", Func: maskAny(1, func(a, _ uint64) uint64 { return a }), Args: one},
		&Helper{Name: "bpf_cpumask_any_and_distribute", Func: maskAny(2, func(a, b uint64) uint64 { return a & b }), Args: two},
	)...)
	registerKfuncs("6.8", only(kfuncsTracing, &Helper{Name: "bpf_cpumask_weight", Func: maskWeight, Args: one})...)
	registerKfuncs("6.15", only(kfuncsTracing, &Helper{Name: "bpf_cpumask_populate", Func: maskPopulate,
		Args: []Arg{ArgPtrToObject, ArgPtrToMem, ArgConstSize}})...)
}

// cpuIDs is how many CPUs there are for masks: those that schedulers find.
func cpuIDs(s *exec.State) int { return s.Env.Sched.CPUs() }

// maskAt is the words of a cpumask with bits for the machine's CPUs.
func maskAt(s *exec.State, addr uint64) []uint64 {
	return unsafe.Slice(at[uint64](addr), (cpuIDs(s)+63)/64)
}

// combined gives word i of two masks, together and without the bits of CPUs that
// there are not.
func combined(s *exec.State, a, b []uint64, i int, f func(a, b uint64) uint64) uint64 {
	var second uint64
	if i < len(b) {
		second = b[i]
	}
	w := f(a[i], second)
	if rest := cpuIDs(s) - 64*i; rest < 64 {
		w &= 1<<rest - 1
	}
	return w
}

func maskCreate(s *exec.State, _, _, _, _, _ uint64) uint64 { return gives(s, object.New(&maskLayout)) }

// maskFind gives the first CPU whose bit is set in what f makes of one or two
// masks, or the number of CPUs.
func maskFind(masks int, f func(a, b uint64) uint64) Func {
	return func(s *exec.State, r1, r2, _, _, _ uint64) uint64 { return firstOf(s, masks, r1, r2, f) }
}

func firstOf(s *exec.State, masks int, r1, r2 uint64, f func(a, b uint64) uint64) uint64 {
	a, b := bothMasks(s, masks, r1, r2)
	for i := range a {
		if w := combined(s, a, b, i, f); w != 0 {
			return uint64(64*i + bits.TrailingZeros64(w))
		}
	}
	return uint64(cpuIDs(s))
}

// bothMasks are the arguments of a function of one or two masks.
func bothMasks(s *exec.State, masks int, r1, r2 uint64) (a, b []uint64) {
	if masks == 2 {
		b = maskAt(s, r2)
	}
	return maskAt(s, r1), b
}

// maskAny is maskFind for any of the CPUs.
func maskAny(masks int, f func(a, b uint64) uint64) Func {
	return func(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
		a, b := bothMasks(s, masks, r1, r2)
		var set []int
		for i := range a {
			for w := combined(s, a, b, i, f); w != 0; w &= w - 1 {
				set = append(set, 64*i+bits.TrailingZeros64(w))
			}
		}
		if len(set) == 0 {
			return uint64(cpuIDs(s))
		}
		return uint64(set[rand.IntN(len(set))])
	}
}

// maskChange changes a CPU's bit, and gives what it was.
func maskChange(change func(word *uint64, bit uint64) uint64) Func {
	return func(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
		cpu := uint32(r1)
		if int64(cpu) >= int64(cpuIDs(s)) {
			return 0
		}
		old := change(&maskAt(s, r2)[cpu/64], 1<<(cpu%64))
		return old >> (cpu % 64) & 1
	}
}

func maskAndNot(word *uint64, bit uint64) uint64 { return atomic.AndUint64(word, ^bit) }

func maskTest(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
	cpu := uint32(r1)
	if int64(cpu) >= int64(cpuIDs(s)) {
		return 0
	}
	return maskAt(s, r2)[cpu/64] >> (cpu % 64) & 1
}

func maskFill(with uint64) Func {
	return func(s *exec.State, r1, _, _, _, _ uint64) uint64 {
		m := maskAt(s, r1)
		for i := range m {
			m[i] = with
			m[i] = combined(s, m, nil, i, func(a, _ uint64) uint64 { return a })
		}
		return 0
	}
}

// maskCombine makes a mask from two, and reports whether it has a CPU.
func maskCombine(f func(a, b uint64) uint64) Func {
	return func(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
		dst, a, b := maskAt(s, r1), maskAt(s, r2), maskAt(s, r3)
		any := uint64(0)
		for i := range dst {
			dst[i] = combined(s, a, b, i, f)
			any |= dst[i]
		}
		return truth(any != 0)
	}
}

// maskNone reports whether no bit is set in what f makes of the masks.
func maskNone(masks int, f func(a, b uint64) uint64) Func {
	return func(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
		return truth(firstOf(s, masks, r1, r2, f) == uint64(cpuIDs(s)))
	}
}

func maskIntersects(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
	return truth(firstOf(s, 2, r1, r2, func(a, b uint64) uint64 { return a & b }) != uint64(cpuIDs(s)))
}

func maskCopy(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
	copy(maskAt(s, r1), maskAt(s, r2))
	return 0
}

func maskWeight(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	n := 0
	for _, w := range maskAt(s, r1) {
		n += bits.OnesCount64(w)
	}
	return uint64(n)
}

// maskPopulate sets a mask from memory, which has a bit for each CPU at least.
func maskPopulate(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	words := (cpuIDs(s) + 63) / 64
	switch {
	case r3 < uint64(words)*8:
		return uint64(uint32(errno.EACCES.Ret()))
	case r2%8 != 0:
		return uint64(uint32(errno.EINVAL.Ret()))
	}
	m := maskAt(s, r1)
	copy(m, unsafe.Slice(at[uint64](r2), words))
	return 0
}
