package verifier

import (
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/ctype"
	"github.com/skep-ebpf/skep/verifier/kernels"
)

// kfuncTraits are what the verifier knows of some kernel functions beyond their flags
// and types.
type kfuncTraits uint64

const (
	kfNewObject kfuncTraits = 1 << iota
	kfNewPercpu             // an object for each CPU
	kfDropObject
	kfDropPercpu
	kfRefcount // acquires an object that counts its owners
	kfList     // takes a list
	kfTree     // takes a tree
	kfAdd      // gives a node's ownership to a list or tree
	kfLess     // calls back while it runs: the order of a tree's nodes
	kfLater    // calls back later
	kfTaskWork
	kfResLock   // takes a resilient lock
	kfResUnlock // gives it back
	kfIRQSave   // saves the state of interrupts, and disables them
	kfIRQRestore
	kfRCULock
	kfRCUUnlock
	kfPreemptOff
	kfPreemptOn
	kfSlice      // gives a part of a dynptr's data
	kfSliceWrite // which may be written
	kfKernelContext
	kfReadOnlyCast
	kfSession // takes the context, whatever its type
	kfCookie
	kfThrow
	kfTrap
	kfMovesPacket
	kfUntrusted // gives a pointer that nothing keeps valid
	kfClone     // copies a dynptr
	kfEndDynptr
	kfCSSTask
	kfUnderLock // may be called with a lock held

	kfAnyNew  = kfNewObject | kfNewPercpu
	kfAnyDrop = kfDropObject | kfDropPercpu
	kfGraph   = kfList | kfTree
)

// specialKfuncs are the kernel functions that have traits, by their names without the
// suffix _impl that some have in some versions.
var specialKfuncs = map[string]kfuncTraits{
	"bpf_obj_new":          kfNewObject,
	"bpf_percpu_obj_new":   kfNewPercpu,
	"bpf_obj_drop":         kfDropObject,
	"bpf_percpu_obj_drop":  kfDropPercpu,
	"bpf_refcount_acquire": kfRefcount | kfUnderLock,

	"bpf_list_push_front": kfList | kfAdd | kfUnderLock,
	"bpf_list_push_back":  kfList | kfAdd | kfUnderLock,
	"bpf_list_add":        kfList | kfAdd | kfUnderLock,
	"bpf_list_pop_front":  kfList | kfUnderLock,
	"bpf_list_pop_back":   kfList | kfUnderLock,
	"bpf_list_del":        kfList | kfUnderLock,
	"bpf_list_front":      kfList | kfUnderLock,
	"bpf_list_back":       kfList | kfUnderLock,
	"bpf_list_is_first":   kfList | kfUnderLock,
	"bpf_list_is_last":    kfList | kfUnderLock,
	"bpf_list_empty":      kfList | kfUnderLock,
	"bpf_rbtree_add":      kfTree | kfAdd | kfLess | kfUnderLock,
	"bpf_rbtree_remove":   kfTree | kfUnderLock,
	"bpf_rbtree_first":    kfTree | kfUnderLock,
	"bpf_rbtree_root":     kfTree | kfUnderLock,
	"bpf_rbtree_left":     kfTree | kfUnderLock,
	"bpf_rbtree_right":    kfTree | kfUnderLock,

	"bpf_iter_num_new":      kfUnderLock,
	"bpf_iter_num_next":     kfUnderLock,
	"bpf_iter_num_destroy":  kfUnderLock,
	"bpf_iter_css_task_new": kfCSSTask,

	"bpf_rcu_read_lock":              kfRCULock,
	"bpf_rcu_read_unlock":            kfRCUUnlock,
	"bpf_preempt_disable":            kfPreemptOff,
	"bpf_preempt_enable":             kfPreemptOn,
	"bpf_local_irq_save":             kfIRQSave,
	"bpf_local_irq_restore":          kfIRQRestore,
	"bpf_res_spin_lock":              kfResLock | kfUnderLock,
	"bpf_res_spin_unlock":            kfResUnlock | kfUnderLock,
	"bpf_res_spin_lock_irqsave":      kfResLock | kfIRQSave | kfUnderLock,
	"bpf_res_spin_unlock_irqrestore": kfResUnlock | kfIRQRestore | kfUnderLock,

	"bpf_dynptr_slice":        kfSlice,
	"bpf_dynptr_slice_rdwr":   kfSlice | kfSliceWrite,
	"bpf_dynptr_clone":        kfClone,
	"bpf_dynptr_file_discard": kfEndDynptr,

	"bpf_cast_to_kern_ctx":  kfKernelContext | kfSession,
	"bpf_rdonly_cast":       kfReadOnlyCast,
	"bpf_session_is_return": kfSession,
	"bpf_session_cookie":    kfSession | kfCookie,
	"bpf_get_kmem_cache":    kfUntrusted,
	"bpf_xdp_pull_data":     kfMovesPacket,

	"bpf_wq_set_callback":           kfLater,
	"bpf_task_work_schedule_signal": kfLater | kfTaskWork,
	"bpf_task_work_schedule_resume": kfLater | kfTaskWork,

	"bpf_throw":  kfThrow,
	"__bpf_trap": kfTrap,

	"bpf_arena_alloc_pages":   kfUnderLock,
	"bpf_arena_free_pages":    kfUnderLock,
	"bpf_arena_reserve_pages": kfUnderLock,
	"bpf_stream_vprintk":      kfUnderLock,
	"bpf_stream_print_stack":  kfUnderLock,
}

// newDynptrs are the kernel functions that make a dynptr, and of which kind.
var newDynptrs = map[string]RegFlags{
	"bpf_dynptr_from_skb":      DynptrSKB,
	"bpf_dynptr_from_xdp":      DynptrXDP,
	"bpf_dynptr_from_skb_meta": DynptrSKBMeta,
	"bpf_dynptr_from_file":     DynptrFile,
	"bpf_dynptr_file_discard":  DynptrFile,
}

// Kfunc is a function of a kernel module that programs may call.
type Kfunc struct {
	// Type is the function as the module's types have it: its parameters' names are
	// rules, too.
	Type  *btf.Func
	Flags kernels.KfuncFlags
	// Programs are the types of programs that may call it; none: all.
	Programs []ebpf.ProgramType
}

// kfunc is what is known of a kernel function.
type kfunc struct {
	name   string
	flags  kernels.KfuncFlags
	traits kfuncTraits
	dynptr RegFlags // the kind of dynptr that it makes or ends; 0: none or any
	// proto has the arguments that the kernel adds, too, behind the given ones that
	// programs pass.
	proto *btf.FuncProto
	given int
	// module says that the prototype is not of the kernel's own types, and refers to
	// those by their names.
	module bool
}

func (k *kfunc) is(flags kernels.KfuncFlags) bool { return k.flags&flags != 0 }
func (k *kfunc) has(traits kfuncTraits) bool      { return k.traits&traits != 0 }

// implSuffix ends the names of functions that take what the kernel adds.
const implSuffix = "_impl"

// kfuncAt describes the kernel function that an instruction calls. A refusal says that
// this program may not call it in this Linux.
func (c *checker) kfuncAt(i int) (*kfunc, error) {
	fn := c.img.Kfuncs[i]
	if fn == nil {
		return nil, c.fail(CauseKfunc, "invalid kernel function call not eliminated in verifier pass")
	}
	if k := c.kfuncs[fn.Name]; k != nil {
		return k, nil
	}
	flags, ok := c.kfuncFlags(fn.Name)
	ok = ok && c.operationMay(fn.Name)
	if !ok && c.kernelFunc(fn.Name) == nil {
		return nil, c.fail(CauseUnsupported, "kernel function %s is not in the kernel's types: it may be a module's", fn.Name)
	}
	if !ok {
		return nil, c.fail(CauseKfunc, "calling kernel function %s is not allowed", fn.Name)
	}
	k := &kfunc{name: fn.Name, flags: flags, dynptr: newDynptrs[fn.Name]}
	k.traits = specialKfuncs[strings.TrimSuffix(fn.Name, implSuffix)]
	_, k.module = c.opts.Kfuncs[fn.Name]
	proto, err := c.kfuncProto(fn)
	if err != nil {
		return nil, err
	}
	k.proto, k.given = proto, len(proto.Params)
	if k.is(kernels.KfuncImplicitArgs) {
		full := c.kernelFunc(fn.Name + implSuffix)
		if full == nil {
			return nil, c.fail(CauseKfunc, "cannot find function %s in BTF", fn.Name+implSuffix)
		}
		k.proto = full
	}
	if c.kfuncs == nil {
		c.kfuncs = make(map[string]*kfunc)
	}
	c.kfuncs[fn.Name] = k
	return k, nil
}

// kfuncFlags are the flags of a kernel function; false where this program may not
// call it.
func (c *checker) kfuncFlags(name string) (kernels.KfuncFlags, bool) {
	if k, ok := c.opts.Kfuncs[name]; ok {
		flags := k.Flags
		if c.since(7, 0) {
			flags |= kernels.KfuncTrustedArgs
		}
		return flags, len(k.Programs) == 0 || slices.Contains(k.Programs, c.img.Type)
	}
	return c.kernel.KfuncFlags(c.progType(), c.img.Attach, name)
}

// kfuncMay is what a kernel function may do to the functions that call it.
func (c *checker) kfuncMay(name string) (may effects) {
	traits := specialKfuncs[strings.TrimSuffix(name, implSuffix)]
	if traits&kfThrow != 0 {
		may |= mayThrow
	}
	if traits&kfMovesPacket != 0 {
		may |= movesPacket
	}
	if flags, ok := c.kfuncFlags(name); ok && flags&kernels.KfuncSleepable != 0 {
		may |= maySleep
	}
	return may
}

// kfuncProto is a kernel function's prototype as the kernel's types have it: the names
// of its parameters are rules.
func (c *checker) kfuncProto(fn *btf.Func) (*btf.FuncProto, error) {
	if proto := c.kernelFunc(fn.Name); proto != nil {
		return proto, nil
	}
	if c.kernelTypes() == nil {
		return nil, c.fail(CauseUnsupported, "without the kernel's types nothing is known of kernel function %s", fn.Name)
	}
	return nil, c.fail(CauseUnsupported, "kernel function %s is not in the kernel's types", fn.Name)
}

// kernelFunc gives the prototype of a function of the kernel's types; where they
// do not have it, that of the tables; or nil.
func (c *checker) kernelFunc(name string) *btf.FuncProto {
	if k, ok := c.opts.Kfuncs[name]; ok {
		proto, _ := k.Type.Type.(*btf.FuncProto)
		return proto
	}
	if proto := protoOf(c.kernelTypes(), name); proto != nil {
		return proto
	}
	known, err := kernels.KfuncTypes()
	if err != nil {
		return nil
	}
	return c.inKernelTypes(protoOf(known, name))
}

// inKernelTypes gives a prototype of the tables with the kernel's own structures in
// place of those of the same names, which it would be held against.
func (c *checker) inKernelTypes(proto *btf.FuncProto) *btf.FuncProto {
	if proto == nil || c.kernelTypes() == nil {
		return proto
	}
	own := func(t btf.Type) btf.Type {
		target, ok := pointee(t)
		if !ok {
			return t
		}
		if _, _, ok := members(target); !ok {
			return t
		}
		for _, k := range ctype.Named(c.kernelTypes(), btf.UnderlyingType(target).TypeName()) {
			if _, _, ok := members(k); !ok {
				continue
			}
			if _, constant := target.(*btf.Const); constant {
				k = &btf.Const{Type: k}
			}
			return &btf.Pointer{Target: k}
		}
		return t
	}
	mine := &btf.FuncProto{Return: own(proto.Return)}
	for _, p := range proto.Params {
		mine.Params = append(mine.Params, btf.FuncParam{Name: p.Name, Type: own(p.Type)})
	}
	return mine
}

// protoOf gives the prototype of a function, or nil.
func protoOf(types *btf.Spec, name string) *btf.FuncProto {
	for _, t := range ctype.Named(types, name) {
		if f, ok := t.(*btf.Func); ok {
			if proto, ok := f.Type.(*btf.FuncProto); ok {
				return proto
			}
		}
	}
	return nil
}

// kfuncType gives the one Type of a type of a function's prototype.
func (c *checker) kfuncType(k *kfunc, t btf.Type) *Type {
	if k.module {
		if known := c.kernelType(btf.UnderlyingType(t).TypeName()); known != nil {
			return known
		}
	}
	return c.typeOf(t, true)
}

// moduleType gives the struct of a name that a function of a module takes or gives, or
// nil.
func (c *checker) moduleType(name string) *Type {
	for _, k := range c.opts.Kfuncs {
		proto, ok := k.Type.Type.(*btf.FuncProto)
		if !ok {
			continue
		}
		for i := range len(proto.Params) + 1 {
			t := proto.Return
			if i > 0 {
				t = proto.Params[i-1].Type
			}
			target, ok := pointee(t)
			if !ok || btf.UnderlyingType(target).TypeName() != name {
				continue
			}
			if _, _, ok := members(target); ok {
				return c.typeOf(target, true)
			}
		}
	}
	return nil
}

// kfuncUnderLock reports whether a kernel function may be called while a spin lock is
// held (kfunc_spin_allowed).
func (c *checker) kfuncUnderLock(name string) bool {
	if strings.HasPrefix(name, "bpf_arena_") && !c.since(7, 0) || strings.HasPrefix(name, "bpf_iter_num_") && !c.since(6, 14) {
		return false
	}
	return specialKfuncs[strings.TrimSuffix(name, implSuffix)]&kfUnderLock != 0
}

// mayIterateTasks reports whether the program may walk through a cgroup's tasks without
// the danger of a deadlock.
func (c *checker) mayIterateTasks() bool {
	return c.img.Type == ebpf.LSM || c.img.Type == ebpf.Tracing && c.img.Attach == ebpf.AttachTraceIter || c.st.sleepable
}

// maxKfuncs is how many kernel functions a program may call (MAX_KFUNC_DESCS).
const maxKfuncs = 256

// kfuncsAllowed refuses calls of kernel functions, reached or not, that this loader or
// licence does not allow.
func (c *checker) kfuncsAllowed() error {
	first, device := -1, false
	names := make(map[string]bool)
	for i, fn := range c.img.Kfuncs {
		names[fn.Name] = true
		device = device || needsDevice(fn.Name)
		if first < 0 || i < first {
			first = i
		}
	}
	if first < 0 {
		return nil
	}
	c.insn = first
	switch {
	case !c.capable:
		return c.fail(CausePrivilege, "loading/calling other bpf or kernel functions are allowed for CAP_BPF and CAP_SYS_ADMIN")
	case c.img.Proprietary():
		return c.fail(CauseLicense, "cannot call kernel function from non-GPL compatible program")
	case device && !c.deviceBound():
		return c.fail(CauseKfunc, "metadata kfuncs require device-bound program")
	case len(names) > maxKfuncs:
		return c.fail(CauseTooLarge, "too many different kernel function calls")
	}
	return nil
}
