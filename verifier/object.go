package verifier

import (
	"math"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/vm/maps"
)

// maxPercpuObject is how large an object for each CPU may be, in bytes
// (BPF_GLOBAL_PERCPU_MA_MAX_SIZE).
const maxPercpuObject = 512

// specialResult makes a register what a function gives whose result its prototype does
// not tell; false where that does.
func (c *checker) specialResult(call *kfuncCall, r *Reg, to *Type) (bool, error) {
	switch {
	case call.has(kfAnyNew):
		return true, c.newObject(call, r)
	case call.has(kfRefcount):
		r.setPointer(PtrToBTF, Alloc)
		r.BTF = call.object
		return true, nil
	case to.Name == listNode || to.Name == treeNode:
		*r = call.root.node()
		return true, nil
	case call.has(kfKernelContext):
		return true, c.kernelContext(r)
	case call.has(kfReadOnlyCast):
		return true, c.readOnlyCast(call, r)
	case call.has(kfSlice):
		return true, c.dynptrSlice(call, r)
	}
	return false, nil
}

// newObject makes a register an object of the program's own type that the argument
// names by its id.
func (c *checker) newObject(call *kfuncCall, r *Reg) error {
	if call.constant > math.MaxUint32 {
		return c.fail(CauseArgument, "local type ID argument must be in range [0, U32_MAX]")
	}
	if c.img.Types == nil {
		return c.fail(CauseBTF, "bpf_obj_new/bpf_percpu_obj_new requires prog BTF")
	}
	t, err := c.img.Types.TypeByID(btf.TypeID(call.constant))
	s, ok := t.(*btf.Struct)
	if err != nil || !ok {
		return c.fail(CauseBTF, "bpf_obj_new/bpf_percpu_obj_new type ID argument must be of a struct")
	}
	typ := c.typeOf(s, false)
	flags := Alloc
	if call.has(kfNewPercpu) {
		flags |= PerCPU
		switch {
		case s.Size > maxPercpuObject:
			return c.fail(CauseArgument, "bpf_percpu_obj_new type size (%d) is greater than %d", s.Size, maxPercpuObject)
		case !isScalarStruct(s, 0):
			return c.fail(CauseArgument, "bpf_percpu_obj_new type ID argument must be of a struct of scalars")
		case len(typ.Fields) > 0:
			return c.fail(CauseArgument, "bpf_percpu_obj_new type ID argument must not contain special fields")
		}
	}
	r.setPointer(PtrToBTF, flags)
	r.BTF = typ
	return nil
}

// kernelContext makes a register the kernel's own form of the program's context.
func (c *checker) kernelContext(r *Reg) error {
	t := c.kernelType(contextTypes[c.img.Type].kernel)
	if t == nil {
		return c.fail(CauseKfunc, "kern ctx type id 0 is not a struct")
	}
	r.setPointer(PtrToBTF, Trusted)
	r.BTF = t
	return nil
}

// readOnlyCast makes a register a pointer to the kernel's type that the argument names
// by its id, of which nothing but loads that cannot fail is allowed.
func (c *checker) readOnlyCast(call *kfuncCall, r *Reg) error {
	t, err := c.kernelTypes().TypeByID(btf.TypeID(call.constant))
	if err != nil || call.constant > math.MaxUint32 {
		return c.fail(CauseBTF, "Unknown type ID %d passed to kfunc bpf_rdonly_cast", call.constant)
	}
	_, _, isStruct := members(t)
	switch _, void := t.(*btf.Void); {
	case isStruct:
		r.setPointer(PtrToBTF, Untrusted)
		r.BTF = c.typeOf(t, true)
	case void && c.since(6, 17):
		r.setPointer(PtrToMem, Readonly|Untrusted)
	case c.since(6, 17):
		return c.fail(CauseBTF, "kfunc bpf_rdonly_cast type ID argument must be of a struct or void")
	default:
		return c.fail(CauseBTF, "kfunc bpf_rdonly_cast type ID argument must be of a struct")
	}
	return nil
}

// dynptrSlice makes a register a part of a dynptr's data.
func (c *checker) dynptrSlice(call *kfuncCall, r *Reg) error {
	flags := call.from.Flags & anyDynptr
	if !call.has(kfSliceWrite) {
		flags |= Readonly
	} else if !c.writesPackets() {
		return c.fail(CauseReadOnly, "the prog does not allow writes to packet data")
	}
	r.setPointer(PtrToMem, flags)
	r.Size = uint32(call.constant)
	r.ParentID = call.from.ID
	return nil
}

// writesPackets reports whether programs of this type may write to packets directly.
func (c *checker) writesPackets() bool {
	switch c.img.Type {
	case ebpf.SchedCLS, ebpf.SchedACT, ebpf.XDP, ebpf.LWTXmit, ebpf.SkSKB, ebpf.SkMsg, ebpf.CGroupSockopt:
		return true
	}
	return false
}

// freedArg looks at an object of the program's own that the call frees.
func (c *checker) freedArg(call *kfuncCall, n uint8) error {
	r := c.reg(n)
	switch {
	case r.Type == PtrToBTF && r.Flags == Alloc:
		if !call.has(kfDropObject) {
			return c.failReg(CauseArgument, int(n), "R%d expected for bpf_obj_drop()", n)
		}
	case r.Type == PtrToBTF && r.Flags == Alloc|PerCPU:
		if !call.has(kfDropPercpu) {
			return c.failReg(CauseArgument, int(n), "R%d expected for bpf_percpu_obj_drop()", n)
		}
	default:
		return c.failReg(CauseArgument, int(n), "R%d expected pointer to allocated object", n)
	}
	if !c.isReferenced(r) {
		return c.failReg(CauseReference, int(n), "allocated object must be referenced")
	}
	call.object = r.BTF
	return nil
}

// refcountedArg looks at an object of the program's own that counts its owners.
func (c *checker) refcountedArg(call *kfuncCall, n uint8) error {
	r := c.reg(n)
	if !r.isObject() {
		return c.failReg(CauseArgument, int(n), "R%d is neither owning or non-owning ref", n)
	}
	call.owned = r.Flags&NonOwning == 0 && c.isReferenced(r)
	if !r.fields().Has(maps.FieldRefcount) {
		return c.failReg(CauseArgument, int(n), "R%d doesn't point to a type with bpf_refcount field", n)
	}
	call.object = r.BTF
	return nil
}
