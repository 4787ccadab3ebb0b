package verifier

import (
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// kindOf is a kind of register that an argument may have.
type kindOf struct {
	typ   RegType
	flags RegFlags
}

var (
	kindsOfMem = []kindOf{
		{PtrToStack, 0}, {PtrToPacket, 0}, {PtrToPacketMeta, 0}, {PtrToMapKey, 0}, {PtrToMapValue, 0}, {PtrToMem, 0},
		{PtrToMem, Ringbuf}, {PtrToBuf, 0}, {PtrToBTF, Trusted}, {PtrToCtx, 0},
	}
	kindsOfScalar = []kindOf{{Scalar, 0}}
	kindsOfValue  = []kindOf{{PtrToMapValue, 0}}
)

// argumentKinds are the kinds of registers that each kind of argument takes
// (compatible_reg_types), in the order of Linux's messages.
var argumentKinds = [argKinds][]kindOf{
	argScalar:     kindsOfScalar,
	argMap:        {{ConstPtrToMap, 0}},
	argKey:        kindsOfMem,
	argValue:      kindsOfMem,
	argMem:        kindsOfMem,
	argSize:       kindsOfScalar,
	argSizeOrZero: kindsOfScalar,
	argAllocSize:  kindsOfScalar,
	argCtx:        {{PtrToCtx, 0}},
	argSpinLock:   {{PtrToMapValue, 0}, {PtrToBTF, Alloc}},
	argSockCommon: {{PtrToSockCommon, 0}, {PtrToSocket, 0}, {PtrToTCPSock, 0}, {PtrToXDPSock, 0}},
	argSocket:     {{PtrToSocket, 0}},
	argBTF:        {{PtrToBTF, 0}, {PtrToBTF, Trusted}, {PtrToBTF, RCU}},
	argBTFSock: {
		{PtrToSockCommon, 0}, {PtrToSocket, 0}, {PtrToTCPSock, 0}, {PtrToXDPSock, 0}, {PtrToBTF, 0}, {PtrToBTF, Trusted},
	},
	argPerCPUBTF:  {{PtrToBTF, PerCPU}, {PtrToBTF, PerCPU | RCU}, {PtrToBTF, PerCPU | Trusted}},
	argRingbufMem: {{PtrToMem, Ringbuf}},
	argFunc:       {{PtrToFunc, 0}},
	argStack:      {{PtrToStack, 0}},
	argConstStr:   kindsOfValue,
	argTimer:      kindsOfValue,
	argKptr: {
		{PtrToMapValue, 0}, {PtrToBTF, Alloc}, {PtrToBTF, Alloc | NonOwning}, {PtrToBTF, Alloc | NonOwning | RCU},
	},
	argDynptr: {{PtrToStack, 0}, {ConstPtrToDynptr, 0}},
}

// argumentType checks what kind of thing an argument is (check_reg_type).
func (c *checker) argumentType(call *callArgs, n uint8, a arg) error {
	r := c.reg(n)
	flags := r.Flags
	if a&argReadonly != 0 {
		flags &^= Readonly
	}
	if a&argOrNull != 0 {
		flags &^= MaybeNull
	}
	if k := a.kind(); k == argMem || k == argDynptr {
		flags &^= anyDynptr
	}
	if call.id == asm.FnKptrXchg && n == 2 && flags&Alloc != 0 {
		flags &^= Alloc | PerCPU
	}
	kinds := argumentKinds[a.kind()]
	if !slices.Contains(kinds, kindOf{r.Type, flags}) {
		return c.wrongType(n, kinds, kindOf{r.Type, flags &^ MaybeNull})
	}
	if r.Type != PtrToBTF {
		return nil
	}
	if k := a.kind(); k == argMem || k == argKey || k == argValue {
		if a&argReadonly == 0 {
			return c.failReg(CauseReadOnly, int(n), "%s() may write into memory pointed by R%d type=%s",
				helperName(call.id), n, r.typeName())
		}
		return nil
	}
	return c.argumentObject(call, n, a)
}

// wrongType refuses an argument. nonNull is what it would be after a check for NULL.
func (c *checker) wrongType(n uint8, kinds []kindOf, nonNull kindOf) error {
	cause := CauseArgument
	if c.reg(n).maybeNull() && slices.Contains(kinds, nonNull) {
		cause = CauseMaybeNull
	}
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = typeName(k.typ, k.flags)
	}
	return c.failReg(cause, int(n), "R%d type=%s expected=%s", n, c.reg(n).typeName(), strings.Join(names, ", "))
}

// argumentObject checks that an object is of the type that the helper takes.
func (c *checker) argumentObject(call *callArgs, n uint8, a arg) error {
	r := c.reg(n)
	if a.kind() == argPerCPUBTF {
		return nil
	}
	if r.Flags&Alloc != 0 {
		if call.id == asm.FnKptrXchg && n == 2 {
			return c.storesKptr(call.kptr, n)
		}
		return nil // locks and kptrs in objects of the program's own
	}
	if r.maybeNull() && (a&argOrNull == 0 || a&argReleased != 0) {
		return c.failReg(CauseMaybeNull, int(n), "Possibly NULL pointer passed to helper R%d", n)
	}
	if call.id == asm.FnKptrXchg {
		return c.storesKptr(call.kptr, n)
	}
	if err := c.unmodified(r, n, true); err != nil {
		return err
	}
	want := a.btf()
	if a.kind() == argBTFSock {
		want = btfSockCommon
	}
	strict := a&argReleased != 0 && call.id != asm.FnSkRelease
	typ := c.kernelType(objNames[want])
	if typ == nil {
		return c.failReg(CauseUnsupported, int(n), "type %s is not known without the kernel's BTF", objNames[want])
	}
	if !c.structMatches(r.BTF, int(r.fixedOffset()), typ, strict, true) {
		return c.failReg(CauseArgument, int(n), "R%d is of type %s but %s is expected", n, r.BTF.Name, typ.Name)
	}
	return nil
}

// argumentOffset checks that a pointer's offset is one that the argument may have
// (check_func_arg_reg_off).
func (c *checker) argumentOffset(n uint8, a arg) error {
	return c.pointerOffset(n, a&argReleased != 0, a.kind() == argDynptr, a == argCtx)
}

// pointerOffset is argumentOffset in other words: released says that the call gives
// the object back, dynptr and context what the argument is.
func (c *checker) pointerOffset(n uint8, released, dynptr, context bool) error {
	r := c.reg(n)
	if released {
		if dynptr && r.Type == PtrToStack {
			return nil
		}
		if !r.Value.IsConst() || r.fixedOffset() != 0 {
			return c.failReg(CauseArgument, int(n),
				"R%d must have zero offset when passed to release func or trusted arg to kfunc", n)
		}
	}
	switch r.Type {
	case PtrToStack, PtrToPacket, PtrToPacketMeta, PtrToMapKey, PtrToMapValue, PtrToArena, Scalar:
		if r.Flags == 0 {
			return nil
		}
	case PtrToMem:
		if r.Flags == 0 || r.Flags == Readonly || r.Flags == Ringbuf {
			return nil
		}
	case PtrToBuf:
		if r.Flags&^Readonly == 0 {
			return nil
		}
	case PtrToBTF:
		switch r.Flags {
		case 0, Alloc, Trusted, RCU, Alloc | NonOwning, Alloc | NonOwning | RCU:
			return c.unmodified(r, n, true)
		}
	case PtrToCtx:
		if !context && c.variableContext() {
			return nil
		}
	}
	return c.unmodified(r, n, false)
}

// variableContext reports whether a context may be accessed at offsets that vary
// (is_var_ctx_off_allowed).
func (c *checker) variableContext() bool {
	return c.since(7, 0) && c.progType() == ebpf.Syscall
}
