package verifier

import (
	"fmt"
	"math"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/verifier/scalar"
)

// Flags of a program.
const (
	flagStrictAlignment = 1 << 0 // BPF_F_STRICT_ALIGNMENT
	flagAnyAlignment    = 1 << 1 // BPF_F_ANY_ALIGNMENT
	flagSleepable       = 1 << 4 // BPF_F_SLEEPABLE
)

// enter makes the state in which a function begins: the main program's, or a
// global function's with arguments as its BTF says ([checker.globalArgs]).
func (c *checker) enter(fn int) error {
	c.insn, c.prev = c.funcs[fn].Start, -1
	c.forget()
	c.st = &state{branches: 1, first: c.insn, last: -1, sleepable: c.img.Flags&flagSleepable != 0}
	f := c.newFrame(0, fn, -1)
	c.st.frames = []*frame{f}
	if fn == 0 && !c.isExtension() {
		f.regs[isa.R1].setPointer(PtrToCtx, 0)
		c.acquireArguments()
		return nil
	}
	args, err := c.globalArgs(fn)
	if err != nil {
		return err
	}
	if c.funcs[fn].exception {
		f.exception = true
		switch {
		case c.returnsVoid(fn):
			return c.fail(CauseException, "exception cb cannot return void")
		case len(args) != 1 || args[0].kind != globalAnything:
			return c.fail(CauseException, "exception cb only supports single integer argument")
		}
	}
	for i, a := range args {
		if i < 5 {
			c.setArg(&f.regs[isa.R1+i], a)
		}
	}
	return nil
}

// setArg makes of a register what a global function knows of its argument.
func (c *checker) setArg(r *Reg, a globalArg) {
	switch a.kind {
	case globalAnything, globalArena:
		r.setUnknown()
	case globalContext:
		r.setPointer(PtrToCtx, 0)
	case globalMem:
		r.setPointer(PtrToMem, a.flags&(MaybeNull|Untrusted|Readonly))
		r.Size = a.size
		if r.maybeNull() {
			r.ID = c.newID()
		}
	case globalDynptr:
		r.setPointer(ConstPtrToDynptr, DynptrLocal)
		r.ID = c.newID()
	case globalBTF:
		r.setPointer(PtrToBTF, a.flags&(MaybeNull|Untrusted|Trusted))
		r.BTF, r.ID = a.typ, c.newID()
	}
}

// newFrame makes the frame of a function that was called at an instruction (-1:
// not by the program). Depth is its place among the frames.
func (c *checker) newFrame(depth, fn, callsite int) *frame {
	f := c.spareFrame()
	stack := f.stack[:0]
	*f = frame{fn: fn, callsite: callsite, stack: stack}
	f.regs[isa.R10] = Reg{Type: PtrToStack, Frame: uint8(depth), Value: scalar.Const(0)}
	return f
}

// walkGlobals verifies the global functions that were called, each on its own.
func (c *checker) walkGlobals() error {
	for verified := true; verified; {
		verified = false
		for n := 1; n < len(c.funcs); n++ {
			f := &c.funcs[n]
			if !f.global || f.verified || !f.called && !f.exception {
				continue
			}
			if err := c.enter(n); err != nil {
				return err
			}
			if err := c.walk(); err != nil {
				return err
			}
			f.verified, verified = true, true
		}
	}
	return nil
}

// callFunction follows a call into a static function, or takes a global function
// for what its BTF says ([checker.callGlobal]).
func (c *checker) callFunction(ins *isa.Instruction) error {
	fn := c.funcAt(callee(c.insn, ins))
	if c.funcs[fn].global {
		return c.callGlobal(ins, fn)
	}
	caller := c.st.cur()
	f, err := c.pushFrame(c.st, fn, c.insn)
	if err != nil {
		return err
	}
	copy(f.regs[isa.R1:isa.R5+1], caller.regs[isa.R1:isa.R5+1])
	for i := isa.R0; i <= isa.R5; i++ {
		caller.regs[i] = Reg{}
	}
	c.insn = c.funcs[fn].Start
	return errJumped
}

// pushFrame adds a frame to a state.
func (c *checker) pushFrame(s *state, fn, callsite int) (*frame, error) {
	depth := len(s.frames)
	if depth == isa.MaxFrames {
		return nil, c.fail(CauseStackDepth, "the call stack of %d frames is too deep", depth+1)
	}
	f := c.newFrame(depth, fn, callsite)
	s.frames = append(s.frames, f)
	return f, nil
}

// exit leaves the running function: back to the caller, or the program
// ([checker.released], [checker.returns]).
func (c *checker) exit(*isa.Instruction) error {
	if err := c.released(false, "BPF_EXIT instruction in main prog"); err != nil {
		return err
	}
	if len(c.st.frames) > 1 {
		return c.leave()
	}
	f := c.st.cur()
	var err error
	if f.fn != 0 && !f.async && !f.exception {
		err = c.returnsGlobal(f.fn)
	} else {
		err = c.returns(isa.R0, "R0")
	}
	if err != nil {
		return err
	}
	return errPathEnds
}

// throw leaves the program by an exception.
func (c *checker) throw() error {
	if err := c.released(true, "bpf_throw"); err != nil {
		return err
	}
	return errPathEnds
}

// leave goes back to the caller of the running function; of a callback, to the call
// that called it, which may call it again (prepare_func_exit).
func (c *checker) leave() error {
	f := c.st.cur()
	caller := c.st.frames[len(c.st.frames)-2]
	r0 := &f.regs[isa.R0]
	if r0.Type == PtrToStack {
		return c.failReg(CauseReturn, isa.R0, "cannot return stack pointer to the caller")
	}
	if f.callback {
		if r0.Type != Scalar {
			return c.failReg(CauseCallback, isa.R0, "R0 not a scalar value")
		}
		if err := c.precise(isa.R0); err != nil {
			return err
		}
		if !f.callbackRange.contains(r0) {
			return c.outOfRange(r0, f.callbackRange, "At callback return", "R0")
		}
		c.insn = f.callsite
	} else {
		caller.regs[isa.R0] = *r0
		c.insn = f.callsite + 1
	}
	callback := f.callback
	c.st.frames = c.st.frames[:len(c.st.frames)-1]
	c.recycleFrame(f)
	if callback {
		if prev := c.prevEntry(c.st, c.insn); prev != nil {
			c.widen(prev, c.st)
		}
	}
	return errJumped
}

// contains reports whether a number is surely in the range.
func (r returnRange) contains(reg *Reg) bool {
	if r.ret32 {
		return r.min <= int64(reg.S32Min) && int64(reg.S32Max) <= r.max
	}
	return r.min <= reg.SMin && reg.SMax <= r.max
}

// jumpAlways follows an unconditional jump (ja, gotol, gotox).
func (c *checker) jumpAlways(ins *isa.Instruction) error {
	if isGotox(ins) {
		return c.jumpIndirect(ins)
	}
	c.insn = jumpTarget(c.insn, ins)
	return errJumped
}

// returnsGlobal checks the result of a global function that the program calls.
func (c *checker) returnsGlobal(fn int) error {
	if c.returnsVoid(fn) {
		return nil
	}
	if err := c.read(isa.R0); err != nil {
		return err
	}
	switch r0 := c.reg(isa.R0); {
	case r0.Type == PtrToArena && c.since(7, 1):
	case c.isPointer(isa.R0):
		return c.failReg(CausePointerLeak, isa.R0, "R%d leaks addr as return value", isa.R0)
	case r0.Type != Scalar:
		return c.failReg(CauseReturn, isa.R0, "At subprogram exit the register R0 is not a scalar value (%s)", typeName(r0.Type, r0.Flags))
	}
	return nil
}

// returnsVoid reports whether a function's BTF says that it returns nothing.
func (c *checker) returnsVoid(fn int) bool {
	f := c.funcs[fn].Type
	if f == nil {
		return false
	}
	proto, ok := f.Type.(*btf.FuncProto)
	if !ok {
		return false
	}
	_, void := btf.UnderlyingType(proto.Return).(*btf.Void)
	return void
}

// isExtension reports whether the program takes the place of a function of another.
func (c *checker) isExtension() bool { return c.img.Type == ebpf.Extension }

// outOfRange refuses a result: what says where it was given, name in which register.
func (c *checker) outOfRange(r *Reg, want returnRange, what, name string) error {
	words := fmt.Sprintf("%s the register %s has", what, name)
	if r.SMin > math.MinInt64 {
		words += fmt.Sprintf(" smin=%d", r.SMin)
	}
	if r.SMax < math.MaxInt64 {
		words += fmt.Sprintf(" smax=%d", r.SMax)
	}
	if r.SMin == math.MinInt64 && r.SMax == math.MaxInt64 {
		words += " unknown scalar value"
	}
	return c.failReg(CauseReturn, isa.R0, "%s should have been in [%d, %d]", words, want.min, want.max)
}
