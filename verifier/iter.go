package verifier

import (
	"strings"

	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/verifier/kernels"
	"github.com/skep-ebpf/skep/verifier/scalar"
)

// An iterator on the stack takes as many slots as its struct has words. Each has a Reg
// that names its type in BTF; the first slot's has the reference that the iterator
// holds, and its object says how far it is. Flags are RCU where it began in an RCU
// section that it needs, and Untrusted where that section has ended.

const iterPrefix = "bpf_iter_"

// iterType is the struct of an iterator that a function's argument points to, or nil.
func (c *checker) iterType(k *kfunc, param btf.Type) *Type {
	target, ok := pointee(param)
	if !ok {
		return nil
	}
	t := c.kfuncType(k, target)
	if _, ok := t.Type.(*btf.Struct); !ok || !strings.HasPrefix(t.Name, iterPrefix) {
		return nil
	}
	return t
}

// iterArg looks at an argument that is an iterator: one that call makes, asks or ends.
func (c *checker) iterArg(call *kfuncCall, n uint8, param btf.Type) error {
	r := c.reg(n)
	if r.Type != PtrToStack {
		return c.failReg(CauseIterator, int(n), "R%d expected pointer to an iterator on stack", n)
	}
	t := c.iterType(call.kfunc, param)
	if t == nil {
		return c.failReg(CauseIterator, int(n), "expected valid iter pointer as R%d", n)
	}
	slots := int(t.Type.(*btf.Struct).Size) / 8
	if call.is(kernels.KfuncIterNew) {
		return c.newIter(call, n, t, slots)
	}
	f := c.st.frames[r.Frame]
	spi, err := c.activeIter(call, n, t, slots)
	if err != nil {
		return err
	}
	call.iter, call.iterFrame = spi, int(r.Frame)
	call.noteRef(f.stack[spi].reg)
	if call.is(kernels.KfuncIterDestroy) {
		c.release(f.stack[spi].reg.RefID)
		clearObject(f, spi, slots)
	}
	return nil
}

// newIter makes an iterator where register n points to.
func (c *checker) newIter(call *kfuncCall, n uint8, t *Type, slots int) error {
	name := strings.TrimPrefix(t.Name, iterPrefix)
	spi, ok, err := c.stackObject(n, "iter", slots)
	if err != nil {
		return err
	}
	r := c.reg(n)
	f := c.st.frames[r.Frame]
	for i := 0; ok && i < slots; i++ {
		for _, kind := range f.stack[spi-i].kind {
			if kind == slotIter {
				return c.failReg(CauseIterator, int(n), "expected uninitialized iter_%s as R%d", name, n)
			}
		}
	}
	for i := range slots {
		if err := c.access(r, n, 8*i, 8, true, -1); err != nil {
			return err
		}
	}
	part := Reg{Type: PtrToStack, Value: scalar.Const(0), BTF: t}
	if call.is(kernels.KfuncRCUProtected) {
		part.Flags = Untrusted
		if c.inRCU() {
			part.Flags = RCU
		}
	}
	first := part
	first.RefID = c.acquire(refPtr)
	for i := range slots {
		s := slot{reg: &part, object: slotObject{first: i == 0, state: iterActive}}
		if i == 0 {
			s.reg = &first
		}
		for j := range s.kind {
			s.kind[j] = slotIter
		}
		f.stack[spi-i] = s
	}
	return nil
}

// activeIter finds the iterator of a type that register n points to.
func (c *checker) activeIter(call *kfuncCall, n uint8, t *Type, slots int) (spi int, err error) {
	spi, ok, err := c.stackObject(n, "iter", slots)
	if err != nil {
		return 0, err
	}
	f := c.st.frames[c.reg(n).Frame]
	for i := 0; i < slots; i++ {
		if !ok {
			break
		}
		s := &f.stack[spi-i]
		if s.kind[0] == slotIter && s.reg.Flags&Untrusted != 0 {
			return 0, c.failReg(CauseRCU, int(n), "expected an RCU CS when using %s", call.name)
		}
		ok = s.kind[0] == slotIter && s.reg.BTF == t && s.object.first == (i == 0)
	}
	if !ok {
		return 0, c.failReg(CauseIterator, int(n), "expected an initialized iter_%s as R%d",
			strings.TrimPrefix(t.Name, iterPrefix), n)
	}
	return spi, nil
}

// iterReg is what describes the iterator of a call.
func (call *kfuncCall) iterReg(st *state) *Reg { return st.frames[call.iterFrame].stack[call.iter].reg }

// iterNext follows a call that asks an iterator for its next: the path goes on as if
// there was none, and another is put aside on which there is one (process_iter_next_call).
func (c *checker) iterNext(call *kfuncCall) error {
	s := &c.st.frames[call.iterFrame].stack[call.iter]
	if s.object.state == iterActive {
		more, err := c.push(c.insn+1, false)
		if err != nil {
			return err
		}
		more.frames[call.iterFrame].stack[call.iter].object.depth++
		if before := c.prevEntry(c.st.parent, c.insn); before != nil {
			c.widen(before, more)
		}
		more.cur().regs[0].setNotNull()
	}
	s.object.state = iterDrained
	c.reg(0).setConst(0)
	return nil
}
