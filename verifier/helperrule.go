package verifier

import (
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/isa"
)

// helperRules are what single helpers ask for beyond their prototypes.
var helperRules = [len(protos)]func(c *checker, ins *isa.Instruction, call *callArgs) error{
	asm.FnTailCall:         (*checker).checkTailCall,
	asm.FnGetLocalStorage:  (*checker).checkLocalStorage,
	asm.FnForEachMapElem:   (*checker).callForEach,
	asm.FnTimerSetCallback: (*checker).callTimer,
	asm.FnFindVma:          (*checker).callFindVMA,
	asm.FnUserRingbufDrain: (*checker).callDrain,
	asm.FnLoop:             (*checker).callLoop,
	asm.FnSnprintf:         (*checker).checkSnprintf,
	asm.FnDynptrFromMem:    (*checker).checkDynptrMemory,
	asm.FnSetRetval:        (*checker).checkSetRetval,
}

// maxCPUs is how many processors a Linux of the distributions supports. A program is
// verified on one machine and says the same on others.
const maxCPUs = 8192

func (c *checker) checkTailCall(*isa.Instruction, *callArgs) error {
	return c.holdsNothing(false, true, "tail_call")
}

func (c *checker) checkLocalStorage(*isa.Instruction, *callArgs) error {
	if !c.reg(isa.R2).isZero() {
		return c.failReg(CauseArgument, isa.R2, "get_local_storage() doesn't support non-zero flags")
	}
	return c.precise(isa.R2)
}

// checkSnprintf holds the format against the number of arguments.
func (c *checker) checkSnprintf(*isa.Instruction, *callArgs) error {
	size := c.reg(isa.R5).Value.Bits.Value
	if size%8 != 0 {
		return c.failReg(CauseArgument, isa.R5, "R5 is no multiple of 8 bytes")
	}
	if format, _ := c.reg(isa.R3).constString(); !validFormat(format, int(size/8)) {
		return c.failReg(CauseArgument, isa.R3, "Invalid format string")
	}
	return nil
}

func (c *checker) checkDynptrMemory(*isa.Instruction, *callArgs) error {
	if r := c.reg(isa.R1); !r.is(PtrToMapValue, 0) {
		return c.failReg(CauseDynptr, isa.R1, "Unsupported reg type %s for bpf_dynptr_from_mem data", r.typeName())
	}
	return nil
}

// checkSetRetval holds the number against the results that the hook may have.
func (c *checker) checkSetRetval(*isa.Instruction, *callArgs) error {
	r := c.reg(isa.R1)
	allowed := returnRange{min: -maxErrno, ret32: true}
	if c.progType() == ebpf.LSM && c.img.Attach == ebpf.AttachLSMCgroup {
		hook, ok := c.cgroupHookRange()
		if !ok {
			return c.fail(CauseReturn, "BPF_LSM_CGROUP that attach to void LSM hooks can't modify return value!")
		}
		allowed.min, allowed.max = hook.min, hook.max
	} else if !c.since(7, 0) {
		return nil
	}
	if r.Type != Scalar {
		return c.failReg(CauseReturn, isa.R1, "R1 is not a scalar")
	}
	if c.progType() == ebpf.CGroupSockopt && c.img.Attach == ebpf.AttachCGroupGetsockopt {
		return nil
	}
	if err := c.precise(isa.R1); err != nil {
		return err
	}
	if !allowed.contains(r) {
		return c.outOfRange(r, allowed, "At bpf_set_retval", "R1")
	}
	return nil
}

// cgroupHookRange are the results of the LSM hook at which a cgroup's program runs;
// false where it has none.
func (c *checker) cgroupHookRange() (returnRange, bool) {
	switch {
	case c.target == nil || c.target.isVoid():
		return returnRange{}, false
	case boolHooks[strings.TrimPrefix(c.target.name, lsmPrefix)]:
		return returnRange{max: 1}, true
	}
	return returnRange{min: -maxErrno}, true
}

// limitResult narrows the number in R0 where the helper tells its range
// (do_refine_retval_range).
func (c *checker) limitResult(call *callArgs) {
	r0 := c.reg(isa.R0)
	switch call.id {
	case asm.FnGetStack, asm.FnGetTaskStack, asm.FnProbeReadStr, asm.FnProbeReadKernelStr, asm.FnProbeReadUserStr:
		r0.limit(-maxErrno, int64(call.sizeMax))
	case asm.FnGetSmpProcessorId:
		r0.limit(0, maxCPUs-1)
	case asm.FnGetRetval:
		if !c.since(7, 0) || c.progType() == ebpf.CGroupSockopt && c.img.Attach == ebpf.AttachCGroupGetsockopt {
			return
		}
		allowed := returnRange{min: -maxErrno}
		if c.progType() == ebpf.LSM && c.img.Attach == ebpf.AttachLSMCgroup {
			var ok bool
			if allowed, ok = c.cgroupHookRange(); !ok {
				return
			}
		}
		r0.limit(allowed.min, allowed.max)
	}
}

// limit keeps the numbers from lo to hi, of 32 bits.
func (r *Reg) limit(lo, hi int64) {
	r.Value.LimitSigned(lo, hi)
	r.Value.LimitSigned32(int32(lo), int32(hi))
}

// elidesNull reports whether a lookup in a map gives no NULL where the key is known to
// be there (can_elide_value_nullness).
func (c *checker) elidesNull(m *Map) bool {
	return c.since(6, 14) && (m.Type == ebpf.Array || m.Type == ebpf.PerCPUArray) && m.Flags&innerMap == 0
}

// innerMap is the flag of arrays of differing sizes in maps of maps (BPF_F_INNER_MAP).
const innerMap = 1 << 12

// preciseSlot marks the number in a stack slot as one that safety depends on, as precise
// does of registers.
func (c *checker) preciseSlot(frame, spi int) {
	if !c.capable {
		return
	}
	c.bt.frame = len(c.st.frames) - 1
	c.bt.slots[frame] |= 1 << spi
	c.markBack(c.st)
}

// knownKey is the number that a key on the stack holds, or -1
// (get_constant_map_key). The stack slot's number becomes one that safety depends on.
func (c *checker) knownKey(key *Reg, size int) int64 {
	if !c.capable || key.Type != PtrToStack || !key.Value.IsConst() {
		return -1
	}
	f := c.st.frames[key.Frame]
	off := int(key.fixedOffset())
	spi := slotAt(off)
	if spi >= len(f.stack) {
		return -1
	}
	sl := &f.stack[spi]
	first := ((off % 8) + 8) % 8
	if sl.run(first, slotZero) >= size {
		return 0
	}
	if sl.kind[0] != slotSpill || sl.reg.Type != Scalar || sl.run(first, slotSpill) != size || !sl.reg.Value.IsConst() {
		return -1
	}
	c.preciseSlot(int(key.Frame), spi)
	return int64(sl.reg.Value.Bits.Value)
}

// run is how many bytes from a byte on are of a kind.
func (s *slot) run(from int, kind slotKind) int {
	n := 0
	for i := from; i < len(s.kind) && s.kind[i] == kind; i++ {
		n++
	}
	return n
}

// callForEach walks the callback of bpf_for_each_map_elem.
func (c *checker) callForEach(ins *isa.Instruction, call *callArgs) error {
	m := call.m
	switch m.Type {
	case ebpf.Array, ebpf.PerCPUArray, ebpf.Hash, ebpf.PerCPUHash, ebpf.LRUHash, ebpf.LRUCPUHash, rhash:
	default:
		return c.fail(CauseMap, "callback function not allowed for map")
	}
	return c.pushCallback(ins, call.function, func(caller, callee *frame) error {
		callee.regs[isa.R1] = caller.regs[isa.R1]
		setElement(callee, &caller.regs[isa.R1])
		callee.regs[isa.R4] = caller.regs[isa.R3]
		return nil
	})
}

// setElement makes R2 and R3 of a callback the key and value of an element of the map
// that a register is or points into.
func setElement(callee *frame, of *Reg) {
	key, value := &callee.regs[isa.R2], &callee.regs[isa.R3]
	key.setPointer(PtrToMapKey, 0)
	value.setPointer(PtrToMapValue, 0)
	key.Map, key.MapUID = of.Map, of.MapUID
	value.Map, value.MapUID = of.Map, of.MapUID
}

// callTimer walks the callback of bpf_timer_set_callback, which runs later.
func (c *checker) callTimer(ins *isa.Instruction, call *callArgs) error {
	return c.pushCallback(ins, call.function, func(caller, callee *frame) error {
		setAsyncArguments(callee, &caller.regs[isa.R1])
		return nil
	})
}

// setAsyncArguments makes the arguments of a callback that runs later: the map that a
// register points into, and an element's key and value.
func setAsyncArguments(callee *frame, of *Reg) {
	m := &callee.regs[isa.R1]
	m.setPointer(ConstPtrToMap, 0)
	m.Map, m.MapUID = of.Map, of.MapUID
	setElement(callee, of)
}

// callFindVMA walks the callback of bpf_find_vma.
func (c *checker) callFindVMA(ins *isa.Instruction, call *callArgs) error {
	vma := c.kernelType(objNames[btfVMA])
	if vma == nil {
		return c.fail(CauseUnsupported, "type %s is not known without the kernel's BTF", objNames[btfVMA])
	}
	return c.pushCallback(ins, call.function, func(caller, callee *frame) error {
		callee.regs[isa.R1] = caller.regs[isa.R1]
		callee.regs[isa.R2].setPointer(PtrToBTF, 0)
		callee.regs[isa.R2].BTF = vma
		callee.regs[isa.R3] = caller.regs[isa.R4]
		return nil
	})
}

// callDrain walks the callback of bpf_user_ringbuf_drain.
func (c *checker) callDrain(ins *isa.Instruction, call *callArgs) error {
	return c.pushCallback(ins, call.function, func(caller, callee *frame) error {
		c.setDynptr(&callee.regs[isa.R1], DynptrLocal)
		callee.regs[isa.R2] = caller.regs[isa.R3]
		return nil
	})
}

// callLoop walks the callback of bpf_loop once more, until it was walked as often as
// it may run.
func (c *checker) callLoop(ins *isa.Instruction, call *callArgs) error {
	if c.reg(isa.R4).isZero() {
		if err := c.precise(isa.R4); err != nil { // flags decide whether Linux inlines the loop
			return err
		}
	}
	if err := c.precise(isa.R1); err != nil {
		return err
	}
	f := c.st.cur()
	if uint64(f.callbackDepth) >= c.reg(isa.R1).UMax {
		f.callbackDepth = 0
		return nil
	}
	return c.pushCallback(ins, call.function, func(caller, callee *frame) error {
		callee.regs[isa.R1].setUnknown()
		callee.regs[isa.R2] = caller.regs[isa.R3]
		return nil
	})
}

// mixedTailCalls refuses tail calls through different maps where the processor might
// guess the wrong one's size: Linux compiles one map into the call.
func (c *checker) mixedTailCalls() error {
	if c.bypass {
		return nil
	}
	for i := range c.aux {
		if c.aux[i].mapMany && c.insns[i].IsCall(isa.CallHelper) && c.insns[i].Imm == helperTailCall {
			c.insn = i
			return c.fail(CauseTailCall, "tail_call abusing map_ptr")
		}
	}
	return nil
}

// tailCallReturns follows both ways of a tail call in a function of the program: it
// fails and the function goes on, or it does not and the function returns what the
// other program does.
func (c *checker) tailCallReturns() error {
	if c.st.cur().callback {
		return c.fail(CauseTailCall, "cannot tail call within callback")
	}
	if _, err := c.push(c.insn+1, false); err != nil {
		return err
	}
	c.clearPackets()
	c.setUnknown(isa.R0)
	return c.leave()
}
