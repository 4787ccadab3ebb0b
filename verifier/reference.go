package verifier

import (
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
)

// released refuses to leave the program while something is still held
// (check_resource_leak). where names how it is left: "BPF_EXIT instruction in main
// prog". exception says that it is left from whatever function is running.
func (c *checker) released(exception bool, where string) error {
	return c.holdsNothing(exception, exception || len(c.st.frames) == 1, where)
}

// holdsNothing is released, where sections says whether locks and sections are looked
// at: those of a function may go on in its caller.
func (c *checker) holdsNothing(exception, sections bool, where string) error {
	if sections && c.st.locks > 0 {
		return c.fail(CauseLock, "%s cannot be used inside bpf_spin_lock-ed region", where)
	}
	if exception || len(c.st.frames) == 1 {
		if leaks := c.leakedRefs(exception); leaks != "" {
			return c.fail(CauseReference, "%s%s would lead to reference leak", leaks, where)
		}
	}
	if !sections {
		return nil
	}
	switch {
	case c.st.irqID != 0:
		return c.fail(CauseRCU, "%s cannot be used inside bpf_local_irq_save-ed region", where)
	case c.st.rcu > 0:
		return c.fail(CauseRCU, "%s cannot be used inside bpf_rcu_read_lock-ed region", where)
	case c.st.preempt > 0:
		return c.fail(CauseRCU, "%s cannot be used inside bpf_preempt_disable-ed region", where)
	}
	return nil
}

// leakedRefs names the references that are held, each with what acquired it. Operations
// of the kernel may return one to it.
func (c *checker) leakedRefs(exception bool) string {
	var b strings.Builder
	returned := uint32(0)
	if c.progType() == ebpf.StructOps && !exception {
		returned = c.reg(0).RefID
	}
	for _, r := range c.st.refs {
		if r.kind == refPtr && r.id != returned {
			fmt.Fprintf(&b, "Unreleased reference id=%d alloc_insn=%d; ", r.id, r.insn)
		}
	}
	return b.String()
}

// releaseArgument ends the reference that an argument gives back (release_reg).
func (c *checker) releaseArgument(call *callArgs) error {
	n := call.released
	r := c.reg(n)
	switch {
	case r.isZero():
		return nil
	case call.dynptr != nil:
		return c.releaseDynptr(n, 0)
	case r.is(PtrToBTF, Alloc|PerCPU) && c.inRCU():
		c.shareRef(r.RefID)
		return nil
	case c.isReferenced(r):
		return c.releaseWhole(r.RefID)
	}
	return c.failReg(CauseReference, int(n), "R%d does not belong to a reference", n)
}

// shareRef makes a per-CPU object that the program owned one that RCU protects, when
// the program puts it into a map (ref_convert_alloc_rcu_protected).
func (c *checker) shareRef(id uint32) {
	c.st.drop(id)
	c.st.eachReg(func(_ *frame, r *Reg) {
		if r.RefID == id && r.Flags&(Alloc|PerCPU) == Alloc|PerCPU {
			r.ID, r.RefID = 0, 0
			r.Flags = r.Flags&^Alloc | RCU
		}
	})
}
