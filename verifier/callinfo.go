package verifier

import (
	"strings"

	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/isa"
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
		if p := c.prototype(asm.BuiltinFunc(ins.Imm)); p != nil {
			return p.params()
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
func (c *checker) noteEffects(f *function, i int) { f.effects |= c.effectsAt(i) }

// effectsAt are what the call at an instruction may do, of a helper or kernel function.
func (c *checker) effectsAt(i int) (may effects) {
	ins := &c.insns[i]
	switch {
	case ins.IsCall(isa.CallHelper):
		p := c.prototype(asm.BuiltinFunc(ins.Imm))
		if p == nil {
			return 0
		}
		if p.flags&shiftsPacket != 0 {
			may |= movesPacket
		}
		if p.flags&sleeps != 0 {
			may |= maySleep
		}
	case ins.IsCall(isa.CallKfunc):
		if k := c.img.Kfuncs[i]; k != nil {
			may |= c.kfuncMay(k.Name)
		}
	}
	return may
}

// params is how many arguments a helper takes.
func (p *proto) params() int {
	n := 0
	for n < len(p.args) && p.args[n] != argNone {
		n++
	}
	return n
}

// stackAccess is how many bytes the call at an instruction reads through an argument
// (from 0) that points to the stack; below 0: how many it writes without reading.
func (c *checker) stackAccess(i, n int) int {
	ins := &c.insns[i]
	if ins.Src == isa.CallKfunc {
		return c.kfuncStackAccess(i, n)
	}
	p := c.prototype(asm.BuiltinFunc(ins.Imm))
	if p == nil {
		return readsUnknown
	}
	a, size := p.args[n], 0
	switch a.kind() {
	case argKey:
		size = c.mapSize(p, i, n, func(m *Map) uint32 { return m.KeySize })
	case argValue:
		size = c.mapSize(p, i, n, func(m *Map) uint32 { return m.ValueSize })
	case argMem:
		if size = a.size(); size != 0 {
			break
		}
		if n+1 == len(p.args) || p.args[n+1].kind() != argSize && p.args[n+1].kind() != argSizeOrZero {
			return readsUnknown
		}
		return c.sizedAccess(i, n, a&argUninit != 0)
	case argDynptr:
		size = dynptrSize
	case argStack:
		return 0 // the callback is followed itself
	default:
		return readsUnknown
	}
	if a&argUninit != 0 {
		return -size
	}
	return size
}

// sizedAccess is stackAccess where the next argument is the size.
func (c *checker) sizedAccess(i, n int, write bool) int {
	size, known := c.constants[i].number(uint8(isa.R1 + n + 1))
	size = min(size, isa.StackSize)
	switch {
	case write && known:
		return -int(size)
	case write:
		return 0
	case known:
		return int(size)
	}
	return isa.StackSize
}

// kfuncStackAccess is stackAccess of kernel functions.
func (c *checker) kfuncStackAccess(i, n int) int {
	f := c.img.Kfuncs[i]
	if f == nil {
		return readsUnknown
	}
	proto, ok := f.Type.(*btf.FuncProto)
	if !ok || n >= len(proto.Params) {
		return readsUnknown
	}
	ptr, ok := btf.UnderlyingType(proto.Params[n].Type).(*btf.Pointer)
	if !ok {
		return 0
	}
	uninit := strings.HasSuffix(proto.Params[n].Name, "__uninit")
	if n+1 < len(proto.Params) {
		if next := proto.Params[n+1].Name; strings.HasSuffix(next, "__sz") || strings.HasSuffix(next, "__szk") {
			return c.sizedAccess(i, n, false)
		}
	}
	size, err := btf.Sizeof(ptr.Target)
	if err != nil || size == 0 {
		return readsUnknown
	}
	isNew := n == 0 && strings.HasPrefix(f.Name, "bpf_iter_") && strings.HasSuffix(f.Name, "_new")
	if uninit || isNew {
		return -size
	}
	return size
}

// mapSize gives a size of the map that a call is passed before an argument; where that
// is not known, the largest of all maps.
func (c *checker) mapSize(p *proto, i, n int, size func(*Map) uint32) int {
	for at, a := range p.args[:n] {
		if k := c.constants[i][isa.R1+at]; a.kind() == argMap && k.kind == constantMap {
			return int(min(size(c.maps[k.m]), isa.StackSize))
		}
	}
	var largest uint32
	for _, m := range c.maps {
		for ; m != nil; m = m.Inner {
			largest = max(largest, size(m))
		}
	}
	if largest == 0 {
		return isa.StackSize
	}
	return int(min(largest, isa.StackSize))
}
