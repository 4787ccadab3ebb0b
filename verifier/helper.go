package verifier

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/maps"
)

// callHelper looks at a call of a helper (check_helper_call).
func (c *checker) callHelper(ins *isa.Instruction) error {
	id := asm.BuiltinFunc(ins.Imm)
	p, err := c.helperFor(id)
	if err != nil {
		return err
	}
	if c.helperSleeps(id, p) && !c.maySleepHere() {
		return c.fail(CauseSleepable, "sleepable helper %s#%d in %s", helperName(id), id, c.sectionName())
	}
	call := &c.call
	*call = callArgs{id: id, proto: p, constKey: -1}
	for n := uint8(isa.R1); n <= isa.R5; n++ {
		if err := c.helperArgument(call, n); err != nil {
			return err
		}
	}
	if err := c.recordMap(call); err != nil {
		return err
	}
	if err := c.fillMemory(call); err != nil {
		return err
	}
	if call.released != 0 {
		if err := c.releaseArgument(call); err != nil {
			return err
		}
	}
	if rule := helperRules[id]; rule != nil {
		if err := rule(c, ins, call); err != nil {
			return err
		}
	}
	c.clearCallerSaved()
	if err := c.helperResult(call); err != nil {
		return err
	}
	if err := c.mapFits(call.m, id); err != nil {
		return err
	}
	return c.afterCall(call)
}

// helperFor gives the prototype of a helper that this program may call.
func (c *checker) helperFor(id asm.BuiltinFunc) (*proto, error) {
	p := c.prototype(id)
	if p == nil {
		return nil, c.fail(CauseHelper, "invalid func %s#%d", helperName(id), int32(id))
	}
	if c.helpers[id] == p {
		return p, nil
	}
	if err := c.helperUsable(id); err != nil {
		return nil, err
	}
	if !c.helperAllowed(id) {
		return nil, c.fail(CauseHelper, "helper call is not allowed in probe")
	}
	c.helpers[id] = p
	return p, nil
}

// helperSleeps reports whether a helper may sleep. Those that look at stacks do in
// programs that may.
func (c *checker) helperSleeps(id asm.BuiltinFunc, p *proto) bool {
	if p.flags&sleeps != 0 {
		return true
	}
	switch id {
	case asm.FnGetTaskStack:
		return c.sleepableProgram() && c.since(7, 0)
	case asm.FnGetStack:
		return c.sleepableProgram() && c.since(7, 0) && c.progType() == ebpf.Kprobe
	}
	return false
}

// fillMemory marks the stack as written that the helper writes.
func (c *checker) fillMemory(call *callArgs) error {
	r := c.reg(call.fill)
	for off := 0; off < call.fillSize; {
		size := 1
		if c.leaks && (r.fixedOffset()+int64(off))%8 == 0 && call.fillSize-off >= 8 {
			size = 8 // a slot at once: the same, for who may overwrite parts of pointers
		}
		if err := c.access(r, call.fill, off, size, true, -1); err != nil {
			return err
		}
		off += size
	}
	return nil
}

// What insnAux.constKey holds besides the index of a tail call.
const (
	keySeen   = 1 << 63
	keyVaries = 1 << 62
)

// recordMap notes which map a call works on, and of tail calls which element
// (record_func_map, record_func_key).
func (c *checker) recordMap(call *callArgs) error {
	m := call.m
	switch call.id {
	case asm.FnMapDeleteElem, asm.FnMapUpdateElem, asm.FnMapPushElem, asm.FnMapPopElem:
		if m.Flags&maps.FlagRdonlyProg != 0 {
			return c.fail(CauseReadOnly, "write into map forbidden")
		}
	case asm.FnTailCall, asm.FnMapLookupElem, asm.FnMapPeekElem, asm.FnForEachMapElem, asm.FnRedirectMap,
		asm.FnMapLookupPercpuElem:
	default:
		return nil
	}
	aux := &c.aux[c.insn]
	if aux.mapPtr == nil {
		aux.mapPtr = m
	} else if aux.mapPtr != m {
		aux.mapMany = true
		for i, other := range aux.mapsToo {
			if other == m {
				break
			}
			if other == nil {
				aux.mapsToo[i] = m
				break
			}
		}
	}
	if call.id == asm.FnTailCall {
		return c.recordTailCall(aux, m)
	}
	return nil
}

func (c *checker) recordTailCall(aux *insnAux, m *Map) error {
	if m.Type != ebpf.ProgramArray {
		return c.fail(CauseTailCall, "expected prog array map for tail call")
	}
	index := c.reg(isa.R3)
	key := index.Value.Bits.Value
	if !index.isConst() || key >= uint64(m.MaxEntries) {
		aux.constKey |= keySeen | keyVaries
		return nil
	}
	if err := c.precise(isa.R3); err != nil {
		return err
	}
	switch {
	case aux.constKey&keySeen == 0:
		aux.constKey = keySeen | key
	case aux.constKey != keySeen|key:
		aux.constKey |= keyVaries
	}
	return nil
}

// helperResult sets R0 to what the helper returns.
func (c *checker) helperResult(call *callArgs) error {
	p := call.proto
	r0 := c.reg(isa.R0)
	switch typ := p.ret.typ(); {
	case typ == NotInit:
		return nil
	case typ == Scalar:
		r0.setUnknown()
		c.limitResult(call)
		return nil
	case p.ret == retPerCPU || p.ret == retPerCPUOrNull:
		if err := c.perCPUResult(call); err != nil {
			return err
		}
	default:
		r0.setPointer(typ, p.ret.flags())
	}
	switch r0.Type {
	case PtrToMapValue:
		c.valueResult(call)
	case PtrToMem:
		if p.ret.typ() == PtrToMem {
			r0.Size = uint32(call.memSize)
		}
	case PtrToBTF:
		if err := c.objectResult(call); err != nil {
			return err
		}
	}
	if r0.maybeNull() {
		r0.ID = c.newID()
	}
	if call.dynptr != nil && call.id == asm.FnDynptrData {
		r0.ParentID = call.dynptr.ID
	}
	return c.referenceResult(call)
}

// valueResult makes R0 a map's value: not NULL where the key is known to be there.
func (c *checker) valueResult(call *callArgs) {
	r0 := c.reg(isa.R0)
	r0.Map, r0.MapUID = call.m, call.mapUID
	if call.id == asm.FnMapLookupElem && c.elidesNull(call.m) &&
		call.constKey >= 0 && uint64(call.constKey) < uint64(call.m.MaxEntries) {
		r0.Flags &^= MaybeNull
	}
	if !r0.maybeNull() && call.m.Fields.Has(maps.FieldSpinLock|maps.FieldResSpinLock) {
		r0.ID = c.newID()
	}
}

// perCPUResult makes R0 one processor's copy of a per-CPU variable: memory, or an
// object where it is a struct.
func (c *checker) perCPUResult(call *callArgs) error {
	r0 := c.reg(isa.R0)
	flags := call.proto.ret.flags()
	t := call.object
	if _, isStruct := t.Type.(*btf.Struct); isStruct {
		if !t.Kernel {
			r0.setPointer(PtrToBTF, Alloc|RCU)
		} else {
			r0.setPointer(PtrToBTF, flags&^Readonly)
		}
		r0.BTF = t
		return nil
	}
	size, ok := sizeOf(t.Type)
	if !ok {
		return c.fail(CauseBTF, "unable to resolve the size of type '%s': -22", t.Name)
	}
	r0.setPointer(PtrToMem, flags)
	r0.Size = size
	return nil
}

// objectResult finds the type of the object that R0 points to.
func (c *checker) objectResult(call *callArgs) error {
	r0 := c.reg(isa.R0)
	if r0.BTF != nil {
		return nil
	}
	if call.id == asm.FnKptrXchg {
		r0.BTF = c.kptrTarget(call.kptr)
		if !r0.BTF.Kernel {
			r0.Flags |= Alloc
			if call.kptr.Kind == maps.FieldKptrPercpu {
				r0.Flags |= PerCPU
			}
		}
		return nil
	}
	name := objNames[call.proto.ret.btf()]
	if r0.BTF = c.kernelType(name); r0.BTF == nil {
		return c.fail(CauseUnsupported, "type %s is not known without the kernel's BTF", name)
	}
	return nil
}

// referenceResult ties R0 to a reference: a new one, or the one of the socket that was
// cast.
func (c *checker) referenceResult(call *callArgs) error {
	r0 := c.reg(isa.R0)
	switch {
	case call.proto.flags&casts != 0 && call.ref != 0:
		if !c.since(7, 0) {
			r0.RefID = call.ref
			return nil
		}
		// A release of either pointer ends both, so that they have the same number,
		// which then says nothing of NULL: that is a path of its own.
		null, err := c.push(c.insn+1, false)
		if err != nil {
			return err
		}
		null.cur().regs[isa.R0].setConst(0)
		r0.Flags &^= MaybeNull
		r0.ID, r0.RefID = call.ref, call.ref
	case c.acquiresResult(call):
		r0.RefID = c.acquire(refPtr)
		r0.ID = r0.RefID
	}
	return nil
}

// acquiresResult reports whether the result must be released (is_acquire_function).
func (c *checker) acquiresResult(call *callArgs) bool {
	if call.proto.flags&acquires != 0 {
		return true
	}
	return call.id == asm.FnMapLookupElem && (call.m.Type == ebpf.SockMap || call.m.Type == ebpf.SockHash)
}

// afterCall is what a call changes beyond its result.
func (c *checker) afterCall(call *callArgs) error {
	switch call.id {
	case asm.FnGetFuncIp:
		return c.functionAddress(call.id)
	case asm.FnTailCall:
		if len(c.st.frames) > 1 && c.since(6, 18) {
			return c.tailCallReturns()
		}
		if len(c.st.frames) == 1 && c.since(6, 18) {
			return nil // the packet is the next program's concern
		}
	}
	if call.proto.flags&shiftsPacket != 0 || c.writesPacket(call) {
		c.clearPackets()
	}
	return nil
}

// writesPacket reports whether a call writes through a dynptr into a socket buffer,
// which may move it.
func (c *checker) writesPacket(call *callArgs) bool {
	return call.id == asm.FnDynptrWrite && call.dynptr.Flags&(DynptrSKB|DynptrSKBMeta) != 0
}

// functionAddress refuses bpf_get_func_ip where there is no function to tell the
// address of (check_get_func_ip).
func (c *checker) functionAddress(id asm.BuiltinFunc) error {
	switch typ := c.progType(); typ {
	case ebpf.Tracing:
		if !c.trampoline() {
			return c.fail(CauseHelper, "func %s#%d supported only for fentry/fexit/fsession/fmod_ret programs",
				helperName(id), id)
		}
	case ebpf.Kprobe:
	default:
		return c.fail(CauseHelper, "func %s#%d not supported for program type %d", helperName(id), id, typ)
	}
	return nil
}
