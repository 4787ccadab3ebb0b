package verifier

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/verifier/kernels"
	"github.com/skep-ebpf/skep/verifier/scalar"
	"github.com/skep-ebpf/skep/vm/maps"
)

// kfuncCall is a call of a kernel function, with what its arguments told.
type kfuncCall struct {
	*kfunc
	release uint8 // the register whose object the call takes; 0: none

	constant    uint64 // the argument that must be known
	hasConstant bool
	size        uint64 // of the memory that is returned; 0: not told
	readOnly    bool   // that memory
	m           *Map
	mapUID      uint32
	ref         uint32 // the reference of the argument that has one
	from        *Reg   // the dynptr that is looked into, or copied
	callback    int    // the function that is passed
	object      *Type  // what kind of object is passed
	owned       bool   // that object belongs to the program
	root        *graphRoot
	// iter is the first slot of the iterator that is asked or ended, in iterFrame.
	iter, iterFrame int
}

// noteRef notes that an argument belongs to a reference.
func (call *kfuncCall) noteRef(r *Reg) { call.ref = r.RefID }

// callKfunc looks at a call of a kernel function.
func (c *checker) callKfunc(ins *isa.Instruction) error {
	k, err := c.kfuncAt(c.insn)
	if err != nil {
		return err
	}
	call := &kfuncCall{kfunc: k, callback: -1}
	if k.is(kernels.KfuncRelease) {
		call.release = isa.R1
	}
	if err := c.kfuncPossible(call); err != nil {
		return err
	}
	if err := c.kfuncArgs(call); err != nil {
		return err
	}
	if err := c.kfuncEffects(ins, call); err != nil {
		return err
	}
	c.clearCallerSaved()
	if err := c.kfuncResult(call); err != nil {
		return err
	}
	if k.has(kfMovesPacket) {
		c.clearPackets()
	}
	if k.is(kernels.KfuncIterNext) {
		return c.iterNext(call)
	}
	if k.has(kfThrow) {
		return c.throw()
	}
	return nil
}

// kfuncPossible refuses calls that are nowhere allowed in this program.
func (c *checker) kfuncPossible(call *kfuncCall) error {
	switch {
	case call.has(kfResLock):
		if err := c.lockFails(); err != nil {
			return err
		}
	case call.has(kfTrap):
		return c.fail(CauseUninitRegister, "unexpected __bpf_trap() due to uninitialized variable?")
	}
	if call.is(kernels.KfuncDestructive) && c.opts.Lacks != 0 {
		return c.fail(CausePrivilege, "destructive kfunc calls require CAP_SYS_BOOT capability")
	}
	if call.is(kernels.KfuncSleepable) && !c.st.sleepable {
		return c.fail(CauseSleepable, "program must be sleepable to call sleepable kfunc %s", call.name)
	}
	return nil
}

// lockFails puts the path aside on which a resilient lock was not had.
func (c *checker) lockFails() error {
	failed, err := c.push(c.insn+1, false)
	if err != nil {
		return err
	}
	const maxErrno = 4095
	f := failed.cur()
	for i := isa.R0; i <= isa.R5; i++ {
		f.regs[i] = Reg{}
	}
	v := scalar.Unknown()
	v.SMin, v.SMax, v.S32Min, v.S32Max = -maxErrno, -1, -maxErrno, -1
	v.Sync(c.rules)
	f.regs[isa.R0] = Reg{Type: Scalar, Value: v}
	return nil
}

// kfuncEffects follows what a call does besides its result: callbacks, sections,
// references that end.
func (c *checker) kfuncEffects(ins *isa.Instruction, call *kfuncCall) error {
	if call.has(kfAnyDrop) && c.mayInterrupt() && call.object.Fields.Has(^nmiSafe) {
		return c.fail(CauseKfunc, "%s cannot be used in tracing programs on types with NMI unsafe fields", call.name)
	}
	if err := c.kfuncCallback(ins, call); err != nil {
		return err
	}
	if call.has(kfCookie) {
		call.size, call.readOnly = 8, false
	}
	if err := c.kfuncSection(call); err != nil {
		return err
	}
	if err := c.kfuncRelease(call); err != nil {
		return err
	}
	if call.has(kfThrow) && c.exception == 0 {
		// Without a callback, the program returns the argument.
		return c.returns(isa.R1, "R1")
	}
	return nil
}

// nmiSafe are the special fields that may be freed anywhere.
const nmiSafe = maps.FieldSpinLock | maps.FieldResSpinLock | maps.FieldTimer | maps.FieldWorkqueue | maps.FieldTaskWork |
	maps.FieldKptrUntrusted | maps.FieldRefcount

// mayInterrupt reports whether the program may run amid anything else, as tracing
// programs do.
func (c *checker) mayInterrupt() bool {
	if !c.since(7, 2) {
		return false
	}
	switch c.img.Type {
	case ebpf.Kprobe, ebpf.TracePoint, ebpf.PerfEvent, ebpf.RawTracepoint, ebpf.RawTracepointWritable:
		return true
	case ebpf.Tracing:
		return c.img.Attach != ebpf.AttachTraceIter && !c.sleepableProgram()
	}
	return false
}

// kfuncCallback follows the function of the program's own that is passed.
func (c *checker) kfuncCallback(ins *isa.Instruction, call *kfuncCall) error {
	switch {
	case call.has(kfLess):
		root := call.root
		return c.pushCallback(ins, call.callback, func(_, callee *frame) error {
			for _, n := range []uint8{isa.R1, isa.R2} {
				callee.regs[n] = root.node()
				callee.regs[n].setNonOwning()
			}
			callee.callback, callee.callbackRange = true, returnRange{min: 0, max: 1}
			return nil
		})
	case call.has(kfLater):
		// The work's callback is given the map's element, as a timer's is.
		result := returnRange{min: 0, max: 0}
		if call.has(kfTaskWork) {
			result = returnRange{min: -1 << 31, max: 1<<31 - 1}
		}
		m, uid := call.m, call.mapUID
		return c.pushCallback(ins, call.callback, func(_, callee *frame) error {
			for i, t := range []RegType{ConstPtrToMap, PtrToMapKey, PtrToMapValue} {
				r := &callee.regs[isa.R1+i]
				r.setPointer(t, 0)
				r.Map, r.MapUID = m, uid
			}
			callee.async, callee.callbackRange = true, result
			return nil
		})
	}
	return nil
}

// kfuncSection follows sections that calls begin and end, and refuses calls that a
// section does not allow, or that need one.
func (c *checker) kfuncSection(call *kfuncCall) error {
	switch {
	case call.has(kfRCULock):
		if c.st.rcu > 0 && !c.since(7, 0) {
			return c.fail(CauseRCU, "nested rcu read lock (kernel function %s)", call.name)
		}
		c.st.rcu++
	case call.has(kfRCUUnlock):
		if c.st.rcu == 0 {
			return c.fail(CauseRCU, "unmatched rcu read unlock (kernel function %s)", call.name)
		}
		if c.st.rcu--; c.st.rcu == 0 {
			c.leaveRCU()
		}
	case call.has(kfPreemptOff):
		c.st.preempt++
	case call.has(kfPreemptOn):
		if c.st.preempt == 0 {
			return c.fail(CauseRCU, "unmatched attempt to enable preemption (kernel function %s)", call.name)
		}
		c.st.preempt--
	}
	if call.is(kernels.KfuncSleepable) && !c.maySleepHere() {
		return c.fail(CauseSleepable, "kernel func %s is sleepable within %s", call.name, c.sectionName())
	}
	if call.has(kfRCULock|kfRCUUnlock) && c.inTreeCallback() {
		return c.fail(CauseRCU, "Calling bpf_rcu_read_{lock,unlock} in unnecessary rbtree callback")
	}
	if call.is(kernels.KfuncRCUProtected) && !c.inRCU() {
		return c.fail(CauseRCU, "kernel func %s requires RCU critical section protection", call.name)
	}
	return nil
}

// inTreeCallback reports whether the path runs in a callback that orders a tree's nodes,
// or in what that calls.
func (c *checker) inTreeCallback() bool {
	for _, f := range c.st.frames[1:] {
		if !f.callback || f.callsite < 0 {
			continue
		}
		if fn := c.img.Kfuncs[f.callsite]; fn != nil && c.kfuncs[fn.Name].has(kfTree) {
			return true
		}
	}
	return false
}

// kfuncRelease ends what the call takes from the program.
func (c *checker) kfuncRelease(call *kfuncCall) error {
	if call.has(kfAdd) {
		c.disown(c.reg(isa.R2).RefID)
		return nil
	}
	r := c.reg(call.release)
	switch {
	case call.release == 0 || r.isZero():
		return nil
	case call.has(kfEndDynptr):
		return c.releaseDynptr(call.release, call.dynptr)
	case c.isReferenced(r):
		return c.releaseWhole(r.RefID)
	}
	return c.failReg(CauseReference, int(call.release), "release kfunc %s expects referenced PTR_TO_BTF_ID passed to R%d",
		call.name, call.release)
}

// kfuncResult makes R0 what the call returns.
func (c *checker) kfuncResult(call *kfuncCall) error {
	r := c.reg(isa.R0)
	ret := btf.UnderlyingType(call.proto.Return)
	switch t := ret.(type) {
	case *btf.Void:
		return nil
	case *btf.Pointer:
		return c.pointerResult(call, r, t)
	}
	r.setUnknown()
	if call.has(kfResLock) {
		r.setConst(0)
	}
	return nil
}

// pointerResult makes a register the pointer that a call returns.
func (c *checker) pointerResult(call *kfuncCall, r *Reg, ptr *btf.Pointer) error {
	to := c.kfuncType(call.kfunc, ptr.Target)
	special, err := c.specialResult(call, r, to)
	if err != nil {
		return err
	}
	if !special {
		if err := c.plainResult(call, r, to); err != nil {
			return err
		}
	}
	if call.is(kernels.KfuncRetNull) && !(call.has(kfRefcount) && call.owned) {
		r.Flags |= MaybeNull
		r.ID = c.newID()
	}
	switch {
	case call.is(kernels.KfuncAcquire):
		r.RefID = c.acquire(refPtr)
		r.ID = r.RefID
	case to.Name == listNode || to.Name == treeNode:
		r.setNonOwning()
	}
	if r.ID == 0 && r.mayHoldLock() {
		r.ID = c.newID()
	}
	return nil
}

// plainResult makes a register the pointer that the function's prototype says.
func (c *checker) plainResult(call *kfuncCall, r *Reg, to *Type) error {
	if isVoid(to.Type) {
		r.setUnknown() // void * is as good as a number
		return nil
	}
	if _, _, isStruct := members(to.Type); isStruct {
		flags := Trusted
		switch {
		case call.has(kfUntrusted):
			flags = Untrusted
		case call.is(kernels.KfuncRCUProtected),
			call.is(kernels.KfuncIterNext) && call.iterReg(c.st).Flags&RCU != 0:
			flags = RCU
		}
		r.setPointer(PtrToBTF, flags)
		r.BTF = to
		return nil
	}
	if call.size == 0 {
		size, ok := sizeOf(to.Type)
		if !ok || size == 0 {
			return c.fail(CauseKfunc, "kernel function %s returns pointer type %s %s is not supported",
				call.name, kindName(to.Type), to.Name)
		}
		call.size, call.readOnly = uint64(size), true
	}
	r.setPointer(PtrToMem, 0)
	r.Size = uint32(call.size)
	if call.readOnly {
		r.Flags |= Readonly
	}
	if call.is(kernels.KfuncRCUProtected) {
		r.Flags |= RCU
	}
	// The memory goes with the object that it belongs to.
	if c.since(7, 2) {
		r.ParentID = call.ref
	} else {
		r.RefID = call.ref
	}
	return nil
}
