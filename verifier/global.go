package verifier

import (
	"slices"
	"strings"

	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/ctype"
	"github.com/skep-ebpf/skep/isa"
)

// globalArg is one argument of a global function.
type globalArg struct {
	kind  globalArgKind
	flags RegFlags
	size  uint32 // of memory, bytes
	typ   *Type  // of PtrToBTF
}

type globalArgKind uint8

const (
	globalAnything globalArgKind = iota
	globalContext
	globalMem
	globalDynptr
	globalBTF
	globalArena
)

// argTags are the tags of a parameter that say what a global function may be given.
type argTags uint8

const (
	tagContext argTags = 1 << iota
	tagNonNull
	tagTrusted
	tagUntrusted
	tagNullable
	tagArena
)

var argTagNames = map[string]argTags{
	"ctx": tagContext, "nonnull": tagNonNull, "trusted": tagTrusted, "untrusted": tagUntrusted,
	"nullable": tagNullable, "arena": tagArena,
}

// callGlobal checks the arguments of a call of a global function against its BTF, and
// takes its result to be anything that its BTF allows.
func (c *checker) callGlobal(ins *isa.Instruction, fn int) error {
	f := &c.funcs[fn]
	args, err := c.globalArgs(fn)
	if err != nil {
		return err
	}
	for i := range args {
		if err := c.passGlobal(&args[i], isa.R1+uint8(i), fn); err != nil {
			return err
		}
	}
	if c.st.locks > 0 {
		return c.fail(CauseLock, "global function calls are not allowed while holding a lock,\nuse static function instead")
	}
	if f.effects&maySleep != 0 && !c.maySleepHere() {
		return c.fail(CauseSleepable, "sleepable global function %s() called in %s", f.Name, c.sectionName())
	}
	if f.effects&movesPacket != 0 {
		c.clearPackets()
	}
	f.called = true
	c.clearCallerSaved()
	if !c.returnsVoid(fn) {
		c.setUnknown(isa.R0)
	}
	if f.effects&mayThrow == 0 || !c.since(7, 2) {
		return nil
	}
	if _, err := c.push(c.insn+1, false); err != nil {
		return err
	}
	return c.throw()
}

// passGlobal checks one argument of a call of a global function.
func (c *checker) passGlobal(a *globalArg, n uint8, fn int) error {
	r := c.reg(n)
	switch a.kind {
	case globalAnything:
		if r.Type != Scalar {
			return c.failReg(CauseGlobal, int(n), "R%d is not a scalar", n)
		}
	case globalContext:
		if err := c.pointerOffset(n, false, false, true); err != nil {
			return err
		}
		if r.Type != PtrToCtx {
			return c.failReg(CauseGlobal, int(n), "R%d expects pointer to ctx", n)
		}
	case globalMem:
		if a.flags&Untrusted != 0 {
			return nil // loads from it cannot fail
		}
		return c.passMemory(a, n, fn)
	case globalArena:
		if r.Type != PtrToArena && r.Type != Scalar {
			return c.failReg(CauseGlobal, int(n), "R%d is not a pointer to arena or scalar.", n)
		}
	case globalDynptr:
		if err := c.pointerOffset(n, false, true, false); err != nil {
			return err
		}
		_, err := c.dynptrArg(n, 0)
		return err
	case globalBTF:
		if a.flags&Untrusted != 0 {
			return nil
		}
		return c.passObject(a, n)
	}
	return nil
}

// passMemory checks an argument that a global function takes as memory.
func (c *checker) passMemory(a *globalArg, n uint8, fn int) error {
	if err := c.pointerOffset(n, false, false, false); err != nil {
		return err
	}
	if err := c.memoryArg(n, a.size); err != nil {
		return err
	}
	r := c.reg(n)
	c.passesKernel = c.passesKernel || pointerOf(r).memory() == MemKernel
	packet := r.isPacket() || r.Type == PtrToPacketEnd || r.Type == PtrToMem && r.Flags&packetDynptrs != 0
	if packet && c.funcs[fn].effects&movesPacket != 0 {
		return c.failReg(CauseGlobal, int(n), "R%d is a packet pointer, but func#%d may change packet data", n, fn)
	}
	if a.flags&MaybeNull == 0 && (r.maybeNull() || r.isZero()) {
		return c.failReg(CauseMaybeNull, int(n), "R%d is expected to be non-NULL", n)
	}
	return nil
}

// packetDynptrs are the kinds of dynptrs whose slices may lie in a packet.
const packetDynptrs = DynptrSKB | DynptrXDP | DynptrSKBMeta

// passObject checks an argument that a global function takes as a trusted object.
func (c *checker) passObject(a *globalArg, n uint8) error {
	r := c.reg(n)
	if r.isZero() && a.flags&MaybeNull != 0 {
		return nil
	}
	flags := r.Flags
	if a.flags&MaybeNull != 0 {
		flags &^= MaybeNull
	}
	if kinds := argumentKinds[argBTF]; !slices.Contains(kinds, kindOf{r.Type, flags}) {
		return c.wrongType(n, kinds, kindOf{r.Type, flags &^ MaybeNull})
	}
	if err := c.unmodified(r, n, true); err != nil {
		return err
	}
	if !c.structMatches(r.BTF, int(r.fixedOffset()), a.typ, false, true) {
		return c.failReg(CauseGlobal, int(n), "R%d is of type %s but %s is expected", n, r.BTF.Name, a.typ.Name)
	}
	return c.pointerOffset(n, false, false, false)
}

// globalArgs gives what a global function's BTF and tags say of its arguments.
func (c *checker) globalArgs(fn int) ([]globalArg, error) {
	f := &c.funcs[fn]
	if f.args != nil {
		return f.args, nil
	}
	if f.Type == nil {
		return nil, c.fail(CauseGlobal, "Global functions need valid BTF")
	}
	proto, ok := f.Type.Type.(*btf.FuncProto)
	if !ok {
		return nil, c.fail(CauseGlobal, "Invalid type of function %s()", f.Name)
	}
	if len(proto.Params) > maxRegArgs {
		return nil, c.fail(CauseGlobal, "global function %s has %d > %d args, stack args not supported", f.Name, len(proto.Params), maxRegArgs)
	}
	if err := c.globalReturn(f, fn, proto.Return); err != nil {
		return nil, err
	}
	args := make([]globalArg, len(proto.Params))
	for i := range proto.Params {
		var tags []string
		if i < len(f.Type.ParamTags) {
			tags = f.Type.ParamTags[i]
		}
		var err error
		if args[i], err = c.globalArg(f, i, proto.Params[i].Type, tags); err != nil {
			return nil, err
		}
	}
	if f.Start == c.exception && fn != 0 {
		if err := c.exceptionArgs(fn, args); err != nil {
			return nil, err
		}
	}
	f.args = args
	return args, nil
}

// exceptionArgs refuses an exception callback that takes or gives something else than
// a number.
func (c *checker) exceptionArgs(fn int, args []globalArg) error {
	if c.returnsVoid(fn) {
		return c.fail(CauseException, "exception cb cannot return void")
	}
	if len(args) != 1 || args[0].kind != globalAnything {
		return c.fail(CauseException, "exception cb only supports single integer argument")
	}
	return nil
}

// globalReturn refuses results that a global function may not have.
func (c *checker) globalReturn(f *function, fn int, ret btf.Type) error {
	target, isPointer := pointee(ret)
	arena := fn != 0 && isPointer && hasTag(target, "arena") && c.since(7, 1)
	if arena || isScalar(ret) || isVoid(ret) && c.since(7, 0) {
		return nil
	}
	if c.since(7, 0) {
		return c.fail(CauseGlobal, "Global function %s() return value not void or scalar. Only those are supported.", f.Name)
	}
	return c.fail(CauseGlobal, "Global function %s() doesn't return scalar. Only those are supported.", f.Name)
}

// globalArg says what parameter i of a global function takes.
func (c *checker) globalArg(f *function, i int, t btf.Type, declared []string) (globalArg, error) {
	var tags argTags
	for _, tag := range declared {
		name, ours := strings.CutPrefix(tag, "arg:")
		if !ours {
			continue
		}
		bit, ok := argTagNames[name]
		if !ok {
			return globalArg{}, c.fail(CauseGlobal, "arg#%d has unsupported set of tags", i)
		}
		tags |= bit
	}
	target, isPointer := pointee(t)
	if isPointer {
		if hasTag(target, "arena") && c.since(7, 1) {
			tags |= tagArena
		}
		return c.globalPointer(i, target, tags)
	}
	switch {
	case tags != 0:
		return globalArg{}, c.fail(CauseGlobal, "arg#%d has pointer tag, but is not a pointer type", i)
	case isScalar(t):
		return globalArg{kind: globalAnything}, nil
	}
	return globalArg{}, c.fail(CauseGlobal, "Arg#%d type %s in %s() is not supported yet.", i, kindName(btf.UnderlyingType(t)), f.Name)
}

// globalPointer is globalArg of a pointer.
func (c *checker) globalPointer(i int, target btf.Type, tags argTags) (globalArg, error) {
	wrong := func(words string) (globalArg, error) { return globalArg{}, c.fail(CauseGlobal, words, i) }
	const combination = "arg#%d has invalid combination of tags"
	t := btf.UnderlyingType(target)
	switch {
	case tags&tagContext != 0 || c.isContext(target):
		if tags&^tagContext != 0 {
			return wrong(combination)
		}
		if tags&tagContext != 0 {
			if err := c.contextTag(i, target); err != nil {
				return globalArg{}, err
			}
		}
		return globalArg{kind: globalContext}, nil
	case t.TypeName() == "bpf_dynptr":
		if tags != 0 {
			return wrong(combination)
		}
		return globalArg{kind: globalDynptr}, nil
	case tags&tagTrusted != 0:
		if tags&tagNonNull != 0 {
			return wrong(combination)
		}
		a := globalArg{kind: globalBTF, flags: Trusted}
		if tags&tagNullable != 0 {
			a.flags |= MaybeNull
		}
		var err error
		a.typ, err = c.counterpart(i, t)
		return a, err
	case tags&tagUntrusted != 0:
		if tags != tagUntrusted {
			return wrong("arg#%d untrusted cannot be combined with any other tags")
		}
		return c.globalUntrusted(i, t)
	case tags&tagArena != 0:
		if tags != tagArena {
			return wrong("arg#%d arena cannot be combined with any other tags")
		}
		return globalArg{kind: globalArena}, nil
	case tags&tagNullable != 0:
		return wrong(combination)
	}
	size, ok := sizeOf(t)
	if !ok {
		return globalArg{}, c.fail(CauseGlobal, "arg#%d reference type('%s %s') size cannot be determined: -22", i, kindName(t), t.TypeName())
	}
	a := globalArg{kind: globalMem, size: size, flags: MaybeNull}
	if tags&tagNonNull != 0 {
		a.flags = 0
	}
	return a, nil
}

// globalUntrusted is globalArg of a pointer that may lead anywhere.
func (c *checker) globalUntrusted(i int, t btf.Type) (globalArg, error) {
	if isVoid(t) || isScalar(t) {
		return globalArg{kind: globalMem, flags: Readonly | Untrusted}, nil
	}
	typ, err := c.counterpart(i, t)
	if err != nil {
		return globalArg{}, err
	}
	return globalArg{kind: globalBTF, flags: Untrusted, typ: typ}, nil
}

// counterpart finds the kernel's type that a program's own stands for: that of its name,
// up to a flavour (task_struct___old).
func (c *checker) counterpart(i int, t btf.Type) (*Type, error) {
	name, _, _ := strings.Cut(t.TypeName(), "___")
	var found []btf.Type
	for _, k := range ctype.Named(c.kernelTypes(), name) {
		if kindName(k) == kindName(t) {
			found = append(found, k)
		}
	}
	switch {
	case c.kernelTypes() == nil:
		return nil, c.fail(CauseUnsupported, "without the kernel's types nothing is known of struct %s", name)
	case len(found) == 0:
		return nil, c.fail(CauseGlobal, "arg#%d reference type('%s %s') has no matches", i, kindName(t), t.TypeName())
	case len(found) > 1:
		return nil, c.fail(CauseGlobal, "arg#%d reference type('%s %s') is ambiguous", i, kindName(t), t.TypeName())
	}
	if _, _, ok := members(found[0]); !ok {
		return nil, c.fail(CauseGlobal, "arg#%d has type %s '%s', but only struct or primitive types are allowed", i, kindName(t), t.TypeName())
	}
	return c.typeOf(found[0], true), nil
}
