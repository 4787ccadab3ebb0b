package verifier

import "github.com/skep-ebpf/skep/verifier/scalar"

// The classes of a saved interrupt state: what saved it.
const (
	irqNative uint8 = iota // bpf_local_irq_save
	irqLock                // bpf_res_spin_lock_irqsave
)

var irqClassNames = [...]string{irqNative: "native", irqLock: "lock"}

// irqFlagArg looks at an argument that is a saved interrupt state on the stack
// (process_irq_flag).
func (c *checker) irqFlagArg(n uint8, class uint8, save bool) error {
	if r := c.reg(n); r.Type != PtrToStack || r.Flags != 0 {
		return c.failReg(CauseArgument, int(n), "R%d doesn't point to an irq flag on stack", n)
	}
	if save {
		return c.saveIRQ(n, class)
	}
	return c.restoreIRQ(n, class)
}

func (c *checker) saveIRQ(n uint8, class uint8) error {
	spi, ok, err := c.stackObject(n, "irq_flag", 1)
	if err != nil {
		return err
	}
	r := c.reg(n)
	f := c.st.frames[r.Frame]
	if ok && f.stack[spi].kind[0] == slotIRQFlag {
		return c.failReg(CauseRCU, int(n), "expected uninitialized irq flag as R%d", n)
	}
	if err := c.access(r, n, 0, 8, true, -1); err != nil {
		return err
	}
	id := c.acquire(refIRQ)
	c.st.irqID = id
	s := slot{
		reg:    &Reg{Type: PtrToStack, Value: scalar.Const(0), RefID: id},
		object: slotObject{first: true, class: class},
	}
	for i := range s.kind {
		s.kind[i] = slotIRQFlag
	}
	f.stack[spi] = s
	return nil
}

func (c *checker) restoreIRQ(n uint8, class uint8) error {
	spi, ok, err := c.stackObject(n, "irq_flag", 1)
	if err != nil {
		return err
	}
	f := c.st.frames[c.reg(n).Frame]
	if !ok || f.stack[spi].kind[0] != slotIRQFlag {
		return c.failReg(CauseRCU, int(n), "expected an initialized irq flag as R%d", n)
	}
	s := &f.stack[spi]
	if s.object.class != class {
		return c.failReg(CauseRCU, int(n), "irq flag acquired by %s kfuncs cannot be restored with %s kfuncs",
			irqClassNames[s.object.class], irqClassNames[class])
	}
	if err := c.endIRQ(s.reg.RefID); err != nil {
		return err
	}
	*s = slot{}
	return nil
}

// endIRQ ends the innermost section without interrupts; they end in the order in which
// they began.
func (c *checker) endIRQ(id uint32) error {
	at, outer := -1, uint32(0)
	for i := range c.st.refs {
		switch r := &c.st.refs[i]; {
		case r.kind != refIRQ:
		case r.id == c.st.irqID:
			at = i
		default:
			outer = r.id
		}
	}
	if id != c.st.irqID {
		insn := 0
		if at >= 0 {
			insn = c.st.refs[at].insn
		}
		return c.fail(CauseRCU, "cannot restore irq state out of order, expected id=%d acquired at insn_idx=%d", c.st.irqID, insn)
	}
	c.st.refs = append(c.st.refs[:at:at], c.st.refs[at+1:]...)
	c.st.irqID = outer
	return nil
}
