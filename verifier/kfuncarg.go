package verifier

import (
	"math"
	"strings"

	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/verifier/kernels"
	"github.com/skep-ebpf/skep/vm/maps"
)

// kfuncArg is what a pointer is for, that a kernel function takes.
type kfuncArg uint8

const (
	kargBTF kfuncArg = iota // an object of the kernel's
	kargContext
	kargNull
	kargObject     // an object of the program's own, to be freed
	kargRefcounted // one that counts its owners
	kargDynptr
	kargIter
	kargListHead
	kargListNode
	kargTreeRoot
	kargTreeNode
	kargString
	kargMap
	kargTimer
	kargWork
	kargTaskWork
	kargIRQFlag
	kargResLock
	kargCallback
	kargMem
	kargMemSize // with its size in the next argument
)

// kargSuffixes end the names of parameters that say what they are for.
var kargSuffixes = []struct {
	suffix string
	kind   kfuncArg
}{
	{"__alloc", kargObject},
	{"__refcounted_kptr", kargRefcounted},
	{"__iter", kargIter},
	{"__str", kargString},
	{"__map", kargMap},
	{"__irq_flag", kargIRQFlag},
}

// kargStructs are the structs of the kernel that parameters point to for a purpose.
var kargStructs = map[string]kfuncArg{
	"bpf_dynptr":        kargDynptr,
	"bpf_list_head":     kargListHead,
	listNode:            kargListNode,
	"bpf_rb_root":       kargTreeRoot,
	treeNode:            kargTreeNode,
	"bpf_wq":            kargWork,
	"bpf_timer":         kargTimer,
	"bpf_task_work":     kargTaskWork,
	"bpf_res_spin_lock": kargResLock,
}

// suffixed reports whether a parameter's name ends in a suffix that is a rule.
func suffixed(p *btf.FuncParam, suffix string) bool {
	return len(p.Name) > len(suffix) && strings.HasSuffix(p.Name, suffix)
}

// maxRegArgs is how many arguments fit into registers.
const maxRegArgs = 5

// kfuncArgs looks at a call's arguments.
func (c *checker) kfuncArgs(call *kfuncCall) error {
	params := call.proto.Params
	for i := 0; i < len(params); i++ {
		p := &params[i]
		if c.pointsTo(p.Type, "bpf_prog_aux") || suffixed(p, "__ign") || suffixed(p, "__prog") || i >= call.given {
			continue
		}
		if i >= maxRegArgs {
			return c.fail(CauseUnsupported, "kernel function %s takes %d arguments: those behind the fifth are not followed",
				call.name, len(params))
		}
		n := isa.R1 + uint8(i)
		var kind kfuncArg
		var err error
		switch target, isPointer := pointee(p.Type); {
		case isScalar(p.Type):
			err = c.numberArg(call, n, p)
		case !isPointer:
			err = c.failReg(CauseKfunc, int(n), "Unrecognized R%d type %s", n, kindName(btf.UnderlyingType(p.Type)))
		default:
			kind, err = c.pointerArg(call, n, i, target)
		}
		if err != nil {
			return err
		}
		if kind == kargMemSize {
			i++ // the size has been looked at
		}
	}
	return nil
}

// pointsTo reports whether a type is a pointer to a struct of a name.
func (c *checker) pointsTo(t btf.Type, name string) bool {
	target, ok := pointee(t)
	return ok && btf.UnderlyingType(target).TypeName() == name
}

// numberArg looks at an argument that is a number.
func (c *checker) numberArg(call *kfuncCall, n uint8, p *btf.FuncParam) error {
	r := c.reg(n)
	if r.Type != Scalar {
		return c.failReg(CauseArgument, int(n), "R%d is not a scalar", n)
	}
	switch {
	case suffixed(p, "__k"):
		if err := c.knownArg(call, n); err != nil {
			return err
		}
		return c.precise(n)
	case p.Name == "rdonly_buf_size", p.Name == "rdwr_buf_size":
		if !r.Value.IsConst() {
			return c.failReg(CauseArgument, int(n), "R%d is not a const", n)
		}
		call.size, call.readOnly = r.Value.Bits.Value, p.Name == "rdonly_buf_size"
		if call.size > math.MaxUint32 {
			return c.failReg(CauseArgument, int(n), "R%d rdonly/rdwr_buf_size exceeds u32 max", n)
		}
		return c.precise(n)
	}
	return nil
}

// knownArg takes the argument that must be known.
func (c *checker) knownArg(call *kfuncCall, n uint8) error {
	r := c.reg(n)
	if !r.Value.IsConst() {
		return c.failReg(CauseArgument, int(n), "R%d must be a known constant", n)
	}
	call.constant, call.hasConstant = r.Value.Bits.Value, true
	return nil
}

// pointerArg looks at argument i, a pointer in register n.
func (c *checker) pointerArg(call *kfuncCall, n uint8, i int, target btf.Type) (kfuncArg, error) {
	r, p := c.reg(n), &call.proto.Params[i]
	picky := call.is(kernels.KfuncTrustedArgs | kernels.KfuncRelease | kernels.KfuncRCU)
	if picky && (r.isZero() || r.maybeNull()) && !suffixed(p, "__nullable") {
		return 0, c.failReg(CauseMaybeNull, int(n), "Possibly NULL pointer passed to trusted R%d", n)
	}
	held := c.isReferenced(r)
	releases := n == call.release
	if releases && !held && !r.isZero() && !c.pointsTo(p.Type, "bpf_dynptr") {
		return 0, c.failReg(CauseReference, int(n), "release kfunc %s expects referenced PTR_TO_BTF_ID passed to R%d", call.name, n)
	}
	if held {
		call.noteRef(r)
	}
	kind, err := c.argKind(call, n, i, target)
	if err != nil || kind == kargNull {
		return kind, err
	}
	if kind == kargMap {
		if err := c.mapArg(call, n); err != nil {
			return 0, err
		}
	}
	if kind == kargMap || kind == kargBTF || kind == kargObject {
		if err := c.trustedArg(call, n, picky); err != nil {
			return 0, err
		}
	}
	if kind == kargRefcounted && r.Type == PtrToBTF {
		err = c.unmodified(r, n, false)
	} else {
		err = c.pointerOffset(n, releases, kind == kargDynptr, kind == kargContext)
	}
	if err != nil {
		return 0, err
	}
	return kind, c.checkArg(call, kind, n, i, target)
}

// trustedArg demands that an object stays valid while the function runs.
func (c *checker) trustedArg(call *kfuncCall, n uint8, picky bool) error {
	r := c.reg(n)
	if !picky || c.isTrusted(r) {
		return nil
	}
	if !call.is(kernels.KfuncRCU) {
		return c.failReg(CauseRCU, int(n), "R%d must be referenced or trusted", n)
	}
	if r.Flags&RCU == 0 {
		return c.failReg(CauseRCU, int(n), "R%d must be a rcu pointer", n)
	}
	return nil
}

// argKind says what argument i, a pointer in register n, is for.
func (c *checker) argKind(call *kfuncCall, n uint8, i int, target btf.Type) (kfuncArg, error) {
	r, p := c.reg(n), &call.proto.Params[i]
	sized := c.sizeFollows(call, i)
	t := btf.UnderlyingType(target)
	switch {
	case call.has(kfSession), c.isContext(target):
		return kargContext, nil
	case suffixed(p, "__nullable") && r.isZero() && !sized:
		return kargNull, nil
	}
	if call.is(kernels.KfuncIterNew|kernels.KfuncIterNext|kernels.KfuncIterDestroy) && i == 0 {
		return kargIter, nil
	}
	for _, s := range kargSuffixes {
		if suffixed(p, s.suffix) {
			return s.kind, nil
		}
	}
	if kind, ok := kargStructs[t.TypeName()]; ok {
		return kind, nil
	}
	_, _, isStruct := members(t)
	if r.Type == PtrToBTF || kernelTwins[r.Type] != "" {
		if !isStruct {
			return 0, c.failReg(CauseArgument, int(n), "kernel function %s R%d pointer type %s %s is not supported",
				call.name, n, kindName(t), t.TypeName())
		}
		return kargBTF, nil
	}
	if _, ok := t.(*btf.FuncProto); ok {
		return kargCallback, nil
	}
	if isScalar(t) || isScalarStruct(t, 0) || sized && isVoid(t) {
		if sized {
			return kargMemSize, nil
		}
		return kargMem, nil
	}
	void := ""
	if sized {
		void = "void, "
	}
	return 0, c.failReg(CauseArgument, int(n), "R%d pointer type %s %s must point to %sscalar, or struct with scalar",
		n, kindName(t), t.TypeName(), void)
}

// sizeFollows reports whether the argument behind argument i is the size of its memory.
func (c *checker) sizeFollows(call *kfuncCall, i int) bool {
	if i+1 >= len(call.proto.Params) || i+1 >= maxRegArgs {
		return false
	}
	p := &call.proto.Params[i+1]
	return isScalar(p.Type) && c.reg(isa.R2+uint8(i)).Type == Scalar && (suffixed(p, "__sz") || suffixed(p, "__szk"))
}

// kernelTwins are the kernel's structs that registers of other types stand for.
var kernelTwins = map[RegType]string{
	PtrToSocket: "sock", PtrToSockCommon: "sock_common", PtrToTCPSock: "tcp_sock", ConstPtrToMap: "bpf_map",
}

// checkArg looks at what a pointer leads to.
func (c *checker) checkArg(call *kfuncCall, kind kfuncArg, n uint8, i int, target btf.Type) error {
	r, p := c.reg(n), &call.proto.Params[i]
	switch kind {
	case kargContext:
		if r.Type != PtrToCtx {
			return c.failReg(CauseArgument, int(n), "R%d expected pointer to ctx, but got %s", n, r.typeName())
		}
	case kargObject:
		return c.freedArg(call, n)
	case kargRefcounted:
		return c.refcountedArg(call, n)
	case kargDynptr:
		return c.dynptrKfuncArg(call, n, p)
	case kargIter:
		if call.has(kfCSSTask) && !c.mayIterateTasks() {
			return c.fail(CauseIterator, "css_task_iter is only allowed in bpf_lsm, bpf_iter and sleepable progs")
		}
		return c.iterArg(call, n, p.Type)
	case kargListHead:
		return c.rootArg(call, n, &lists)
	case kargTreeRoot:
		return c.rootArg(call, n, &trees)
	case kargListNode:
		return c.listNodeArg(call, n, suffixed(p, "__nonown_allowed"))
	case kargTreeNode:
		return c.treeNodeArg(call, n)
	case kargMap:
		return c.btfArg(call, n, c.kernelType("bpf_map"))
	case kargBTF:
		return c.btfArg(call, n, c.kfuncType(call.kfunc, target))
	case kargMem:
		return c.memArg(n, target)
	case kargMemSize:
		return c.sizedArg(call, n, p, &call.proto.Params[i+1])
	case kargCallback:
		if r.Type != PtrToFunc {
			return c.failReg(CauseArgument, int(n), "R%d expected pointer to func", n)
		}
		call.callback = int(r.Size)
	case kargIRQFlag:
		class := irqNative
		if call.has(kfResLock | kfResUnlock) {
			class = irqLock
		}
		return c.irqFlagArg(n, class, call.has(kfIRQSave))
	case kargResLock:
		return c.resLockArg(call, n)
	default:
		return c.mapValueArg(call, kind, n)
	}
	return nil
}

// mapValueArg looks at an argument that must point into a map's value: to a string, or
// to a special field.
func (c *checker) mapValueArg(call *kfuncCall, kind kfuncArg, n uint8) error {
	r := c.reg(n)
	onValue := r.Type == PtrToMapValue && r.Flags == 0
	switch {
	case kind == kargString && onValue:
		return c.stringArgument(n)
	case kind == kargString:
		return c.failReg(CauseArgument, int(n), "R%d doesn't point to a const string", n)
	case !onValue:
		return c.failReg(CauseArgument, int(n), "R%d doesn't point to a map value", n)
	}
	f := kargFields[kind]
	if err := c.mapField(n, f.kind, f.name); err != nil {
		return err
	}
	call.m, call.mapUID = r.Map, r.MapUID
	return nil
}

// kargFields are the special fields that arguments must point to.
var kargFields = map[kfuncArg]struct {
	kind maps.FieldKind
	name string
}{
	kargWork:     {maps.FieldWorkqueue, "bpf_wq"},
	kargTimer:    {maps.FieldTimer, "bpf_timer"},
	kargTaskWork: {maps.FieldTaskWork, "bpf_task_work"},
}

// mapArg looks at an argument that is a map: the one that an earlier argument points
// into, if there is such.
func (c *checker) mapArg(call *kfuncCall, n uint8) error {
	r := c.reg(n)
	if r.Map == nil {
		return c.failReg(CauseArgument, int(n), "pointer in R%d isn't map pointer", n)
	}
	if call.m != nil && (call.m != r.Map || call.mapUID != r.MapUID) {
		switch {
		case r.Map.Fields.Has(maps.FieldTaskWork):
			return c.failReg(CauseMap, int(n), "bpf_task_work pointer in R2 map_uid=%d doesn't match map pointer in R3 map_uid=%d",
				call.mapUID, r.MapUID)
		case r.Map.Fields.Has(maps.FieldWorkqueue):
			return c.failReg(CauseMap, int(n), "workqueue pointer in R1 map_uid=%d doesn't match map pointer in R2 map_uid=%d",
				call.mapUID, r.MapUID)
		}
	}
	call.m, call.mapUID = r.Map, r.MapUID
	return nil
}

// btfArg looks at an argument that is an object of the kernel's.
func (c *checker) btfArg(call *kfuncCall, n uint8, want *Type) error {
	r := c.reg(n)
	twin := kernelTwins[r.Type]
	const trusting = Alloc | Trusted | NonOwning
	if twin == "" && (r.Type != PtrToBTF || r.Flags&^trusting != 0 && r.Flags&RCU == 0) {
		return c.failReg(CauseArgument, int(n), "R%d is %s expected %s or socket", n, r.typeName(), typeName(r.Type, r.Flags&trusting))
	}
	have := r.BTF
	if twin != "" {
		have = c.kernelType(twin)
	}
	if have == nil || want == nil {
		return c.failReg(CauseUnsupported, int(n), "the kernel's types lack what R%d points to", n)
	}
	off, _ := r.constOffset()
	strict := call.is(kernels.KfuncRelease) && c.isReferenced(r) || isNoCastAlias(have.Name, want.Name)
	if isProjection(want.Name, have.Name) || c.structMatches(have, int(off), want, strict, r.Flags&Alloc == 0) {
		return nil
	}
	return c.failReg(CauseArgument, int(n), "kernel function %s R%d expected pointer to %s %s but R%d has a pointer to %s %s",
		call.name, n, kindName(want.Type), want.Name, n, kindName(have.Type), have.Name)
}

// dynptrKfuncArg looks at an argument that is a dynptr, or will be.
func (c *checker) dynptrKfuncArg(call *kfuncCall, n uint8, p *btf.FuncParam) error {
	switch {
	case !suffixed(p, "__uninit"):
		if call.has(kfEndDynptr) && c.reg(n).Type == ConstPtrToDynptr {
			return c.failReg(CauseDynptr, int(n), "CONST_PTR_TO_DYNPTR cannot be released")
		}
		from, err := c.dynptrArg(n, call.dynptr)
		call.from = from
		return err
	case call.has(kfClone):
		return c.cloneDynptr(n, call.from)
	}
	return c.newDynptr(n, call.dynptr, call.ref)
}

// resLockArg takes or gives up a resilient spin lock.
func (c *checker) resLockArg(call *kfuncCall, n uint8) error {
	if c.inTreeCallback() {
		return c.failReg(CauseLock, int(n), "can't res_spin_{lock,unlock} in rbtree cb")
	}
	if r := c.reg(n); (r.Type != PtrToMapValue || r.Flags != 0) && (r.Type != PtrToBTF || r.Flags != Alloc) {
		return c.failReg(CauseLock, int(n), "R%d doesn't point to map value or allocated object", n)
	}
	op := lockResilient
	if call.has(kfResLock) {
		op |= lockTake
	}
	if call.has(kfIRQSave | kfIRQRestore) {
		op |= lockIRQ
	}
	return c.lockArgument(n, op)
}
