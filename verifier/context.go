package verifier

import (
	"math"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/vm/progtype"
)

// ctxValue is what a load from the context gives.
type ctxValue struct {
	typ    RegType
	flags  RegFlags
	btf    *Type  // of PtrToBTF
	ref    uint32 // the reference that it belongs to; 0: none
	result bool   // it is the result of the function that the program is attached to
}

var ctxNumber = ctxValue{typ: Scalar}

// accessContext checks an access to the context.
func (c *checker) accessContext(a *memAccess) error {
	if err := c.leaksInto(a, "ctx"); err != nil {
		return err
	}
	if a.reg.maybeNull() {
		return c.invalidAccess(a)
	}
	off, err := c.contextOffset(a)
	if err != nil {
		return err
	}
	if c.target == nil && (c.typ.Prog == ebpf.Tracing || c.typ.Prog == ebpf.LSM || c.typ.Prog == ebpf.StructOps) {
		return c.failReg(CauseUnsupported, int(a.n), "what the program is attached to is unknown, and with it its context")
	}
	v, err := c.contextField(off, a)
	if err != nil {
		return err
	}
	c.result.Context = max(c.result.Context, off+a.size)
	if v.ref != 0 && c.st.findRef(v.ref) == nil {
		return c.failReg(CauseReference, int(a.n), "invalid bpf_context access off=%d. Reference may already be released", off)
	}
	if !a.write && a.value >= 0 {
		c.setCtxValue(c.reg(uint8(a.value)), &v)
	}
	return nil
}

// setCtxValue sets a register to what was loaded from the context.
func (c *checker) setCtxValue(r *Reg, v *ctxValue) {
	switch {
	case v.typ == Scalar && v.result:
		r.setUnknown()
		if lo, hi, ok := c.hookRange(); ok {
			r.Value.LimitSigned32(lo, hi)
			r.Value.LimitSigned(int64(lo), int64(hi))
		}
		return
	case v.typ == Scalar:
		r.setUnknown()
		return
	}
	r.setPointer(v.typ, v.flags)
	r.BTF, r.RefID = v.btf, v.ref
	if v.flags&MaybeNull != 0 {
		r.ID = c.newID()
	}
}

// maxSyscallCtx is how much of the context of a syscall program may be accessed, in
// bytes. How much there is a run finds out.
const maxSyscallCtx = math.MaxUint16

// anyContextOffset reports whether the offset of an access to the context may vary.
func (c *checker) anyContextOffset() bool { return c.typ.Prog == ebpf.Syscall && c.since(7, 0) }

// contextOffset is the offset in the context of an access.
func (c *checker) contextOffset(a *memAccess) (int, error) {
	r := a.reg
	if c.anyContextOffset() {
		if err := c.region(r, a.n, a.off, a.size, maxSyscallCtx, false); err != nil {
			return 0, err
		}
		return int(r.maxOffset()) + a.off, nil
	}
	// Where accesses are rewritten to others, each instruction has a field of its own.
	return int(r.minOffset()) + a.off, c.unmodified(r, a.n, !c.rewritesContext() && c.since(7, 0))
}

// rewritesContext reports whether the kernel keeps the context in another form than
// programs see (convert_ctx_access).
func (c *checker) rewritesContext() bool {
	switch c.typ.Prog {
	case ebpf.CGroupDevice, ebpf.LircMode2:
		return false
	}
	return len(c.typ.Fields) > 0
}

// contextField finds what the context has at an offset, and refuses what the program
// may not access so.
func (c *checker) contextField(off int, a *memAccess) (v ctxValue, err error) {
	aligned := off%a.size == 0
	ok, why := false, ""
	switch c.typ.Prog {
	case ebpf.Kprobe:
		ok = off >= 0 && off+a.size <= progtype.HostRegisters().Size && aligned && (!a.write || c.since(6, 19))
	case ebpf.TracePoint:
		ok = off >= 8 && off < c.typ.CtxSize && aligned && !a.write
	case ebpf.RawTracepoint:
		ok = off >= 0 && off < c.typ.CtxSize && aligned && !a.write
	case ebpf.Syscall:
		ok = off >= 0 && off < maxSyscallCtx && (aligned || c.since(7, 0))
	case ebpf.Netfilter:
		return c.netfilterField(off, a)
	case ebpf.Tracing, ebpf.LSM, ebpf.StructOps:
		if ok = off >= 0 && off < 8*maxFuncArgs && !a.write && aligned; ok {
			v, ok, why = c.argument(off, a.size)
		}
		if ok {
			return v, nil
		}
	default:
		return c.structField(off, a)
	}
	if !ok {
		return v, c.noField(off, a, why)
	}
	return ctxNumber, nil
}

// noField refuses an access to what is no field. why is more that the log tells.
func (c *checker) noField(off int, a *memAccess, why string) error {
	if why != "" {
		why += "\n"
	}
	return c.failReg(CauseContext, int(a.n), "%sinvalid bpf_context access off=%d size=%d", why, off, a.size)
}

// structField is contextField of contexts that linux/bpf.h describes.
func (c *checker) structField(off int, a *memAccess) (v ctxValue, err error) {
	f, err := c.typ.Access(off, a.size, a.write)
	if err != nil || !c.fieldAllowed(f, a) {
		return v, c.noField(off, a, "")
	}
	if since, ok := c.kernel.ContextField(c.typ.CtxName, f.Name); !ok {
		return v, c.tooOld(since, "field %s of %s", f.Name, c.typ.CtxName)
	}
	return c.fieldValue(f), nil
}

// fieldAllowed refuses fields that the attach type, the loader's capabilities or a
// sign extension rule out.
func (c *checker) fieldAllowed(f *progtype.Field, a *memAccess) bool {
	if a.signed && f.Size == 4 && f.Kind != progtype.Scalar {
		return false
	}
	switch {
	case c.typ.Prog == ebpf.XDP && f.Name == "egress_ifindex":
		return c.img.Attach == ebpf.AttachXDPDevMap
	case c.typ.Prog != ebpf.CGroupSKB:
	case f.Kind != progtype.Scalar && f.Kind != progtype.SocketPtr, a.write && f.Name == "tstamp":
		return c.capable
	}
	return true
}

// fieldValue is what loading a field gives.
func (c *checker) fieldValue(f *progtype.Field) ctxValue {
	switch f.Kind {
	case progtype.PacketPtr:
		return ctxValue{typ: PtrToPacket}
	case progtype.MetaPtr:
		return ctxValue{typ: PtrToPacketMeta}
	case progtype.PacketEnd:
		return ctxValue{typ: PtrToPacketEnd}
	case progtype.BufferPtr:
		if c.typ.Prog == ebpf.FlowDissector {
			return ctxValue{typ: PtrToFlowKeys}
		}
		return ctxValue{typ: PtrToTPBuffer}
	case progtype.SocketPtr:
		return c.contextSocket(f)
	}
	return ctxNumber
}

// contextSocket is what is known of a socket that the context leads to.
func (c *checker) contextSocket(f *progtype.Field) ctxValue {
	switch c.typ.Prog {
	case ebpf.CGroupSockAddr, ebpf.CGroupSockopt, ebpf.SkMsg:
		return ctxValue{typ: PtrToSocket}
	case ebpf.SockOps, ebpf.SkLookup:
		return ctxValue{typ: PtrToSocket, flags: MaybeNull}
	case ebpf.SkReuseport:
		if f.Name == "sk" {
			return ctxValue{typ: PtrToSocket}
		}
	}
	return ctxValue{typ: PtrToSockCommon, flags: MaybeNull}
}

// netfilterFields are the pointers in struct bpf_nf_ctx.
var netfilterFields = [...]string{"nf_hook_state", "sk_buff"}

// netfilterField finds a pointer in the context of netfilter programs.
func (c *checker) netfilterField(off int, a *memAccess) (v ctxValue, err error) {
	if off != 0 && off != 8 || a.size != 8 || a.write {
		return v, c.noField(off, a, "")
	}
	name := netfilterFields[off/8]
	t := c.kernelType(name)
	if t == nil {
		return v, c.failReg(CauseUnsupported, int(a.n), "struct %s is not among the kernel's types", name)
	}
	return ctxValue{typ: PtrToBTF, flags: Trusted, btf: t}, nil
}
