package verifier

import (
	"strings"

	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/helper"
)

// Helpers that the walk must know by their numbers.
const (
	helperTailCall         = 12
	helperForEachMapElem   = 164
	helperTimerSetCallback = 170
	helperFindVMA          = 180
	helperLoop             = 181
	helperUserRingbufDrain = 209
)

// kfuncThrow is the kernel function that leaves the program by an exception.
const kfuncThrow = "bpf_throw"

// callbackKind is when a call runs a function that it is given.
type callbackKind uint8

const (
	callbackNone  callbackKind = iota
	callbackSync               // before it returns, any number of times
	callbackAsync              // later, on a stack of its own
)

var callbackHelpers = map[int32]callbackKind{
	helperForEachMapElem:   callbackSync,
	helperFindVMA:          callbackSync,
	helperLoop:             callbackSync,
	helperUserRingbufDrain: callbackSync,
	helperTimerSetCallback: callbackAsync,
}

var callbackKfuncs = map[string]callbackKind{
	"bpf_rbtree_add_impl":                callbackSync,
	"bpf_rbtree_add":                     callbackSync,
	"bpf_wq_set_callback_impl":           callbackAsync,
	"bpf_wq_set_callback":                callbackAsync,
	"bpf_task_work_schedule_signal":      callbackAsync,
	"bpf_task_work_schedule_signal_impl": callbackAsync,
	"bpf_task_work_schedule_resume":      callbackAsync,
	"bpf_task_work_schedule_resume_impl": callbackAsync,
}

// callbackOf says how the call at an instruction runs callbacks.
func (c *checker) callbackOf(i int) callbackKind {
	ins := &c.insns[i]
	if ins.IsCall(isa.CallHelper) {
		return callbackHelpers[ins.Imm]
	}
	if f := c.img.Kfuncs[i]; f != nil && ins.IsCall(isa.CallKfunc) {
		return callbackKfuncs[f.Name]
	}
	return callbackNone
}

// isIterNext reports whether the call at an instruction asks an iterator for its
// next element. Linux registers such functions by this pattern of their names only.
func (c *checker) isIterNext(i int) bool {
	f := c.img.Kfuncs[i]
	return f != nil && c.insns[i].IsCall(isa.CallKfunc) && strings.HasPrefix(f.Name, "bpf_iter_") && strings.HasSuffix(f.Name, "_next")
}

// params is how many of R1 to R5 the call at an instruction reads.
func (c *checker) params(i int) int {
	ins := &c.insns[i]
	switch {
	case ins.IsCall(isa.CallHelper):
		if h := helper.ByID(uint32(ins.Imm)); h != nil {
			return min(len(h.Args), 5)
		}
	case ins.IsCall(isa.CallKfunc):
		if f := c.img.Kfuncs[i]; f != nil {
			if proto, ok := f.Type.(*btf.FuncProto); ok {
				return min(len(proto.Params), 5)
			}
		}
	}
	return 5
}

// effects are what a function, or what it calls, may do.
type effects uint8

const (
	movesPacket effects = 1 << iota // packet pointers are stale after it
	maySleep
	mayThrow
)

// noteEffects adds what an instruction may do to its function's effects.
func (c *checker) noteEffects(f *function, i int) {
	ins := &c.insns[i]
	switch {
	case ins.IsCall(isa.CallHelper):
		if h := helper.ByID(uint32(ins.Imm)); h != nil && h.MovesPacket {
			f.effects |= movesPacket
		}
	case ins.IsCall(isa.CallKfunc):
		if k := c.img.Kfuncs[i]; k != nil {
			f.effects |= c.kfuncMay(k.Name)
		}
	}
}

// stackAccess is how many bytes the call at an instruction reads through an argument
// (from 0) that points to the stack; below 0: how many it writes without reading.
func (c *checker) stackAccess(i, arg int) int {
	ins := &c.insns[i]
	if !ins.IsCall(isa.CallHelper) {
		return readsUnknown
	}
	h := helper.ByID(uint32(ins.Imm))
	if h == nil {
		return readsUnknown
	}
	known := &c.constants[i]
	size := isa.StackSize
	if arg+1 < len(h.Args) {
		if n, ok := known.number(uint8(isa.R1 + arg + 1)); ok {
			size = int(min(n, isa.StackSize))
		}
	}
	switch h.Args[arg] {
	case helper.ArgPtrToMapKey:
		return c.mapSize(h, known, func(m *Map) uint32 { return m.KeySize })
	case helper.ArgPtrToMapValue:
		return c.mapSize(h, known, func(m *Map) uint32 { return m.ValueSize })
	case helper.ArgPtrToUninitMapValue:
		return -c.mapSize(h, known, func(m *Map) uint32 { return m.ValueSize })
	case helper.ArgPtrToMem, helper.ArgPtrToMemOrNull:
		return size
	case helper.ArgPtrToUninitMem, helper.ArgPtrToUninitMemOrNull:
		if _, ok := known.number(uint8(isa.R1 + arg + 1)); !ok {
			return 0
		}
		return -size
	case helper.ArgPtrToStackOrNull:
		return 0 // the callback is followed itself
	}
	return readsUnknown
}

// mapSize gives a size of the map that a call is passed; where that is not known, the
// largest of all maps.
func (c *checker) mapSize(h *helper.Helper, known *constants, size func(*Map) uint32) int {
	for n, a := range h.Args {
		if k := known[isa.R1+n]; a == helper.ArgConstMapPtr && k.kind == constantMap {
			return int(min(size(k.m), isa.StackSize))
		}
	}
	var largest uint32
	for _, m := range c.maps {
		for ; m != nil; m = m.Inner {
			largest = max(largest, size(m))
		}
	}
	return int(min(largest, isa.StackSize))
}
