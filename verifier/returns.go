package verifier

import (
	"math"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/isa"
)

// returns checks the result of the program, or of a callback (check_return_code).
func (c *checker) returns(n uint8, name string) error {
	f := c.st.frames[0]
	if !f.async && c.returnsNothing() || c.returnsObject(n) {
		return nil
	}
	if err := c.read(n); err != nil {
		return err
	}
	if c.isPointer(n) {
		return c.failReg(CausePointerLeak, int(n), "R%d leaks addr as return value", n)
	}
	want, limited := c.resultRange()
	where := "At program exit"
	if f.async {
		want, limited, where = f.callbackRange, true, "At async callback return"
	}
	if !limited {
		return nil
	}
	r := c.reg(n)
	if r.Type != Scalar {
		return c.failReg(CauseReturn, int(n), "%s the register R%d is not a known value (%s)", where, n, r.typeName())
	}
	if err := c.precise(n); err != nil {
		return err
	}
	if want.contains(r) {
		return nil
	}
	return c.outOfRange(r, want, where, name)
}

// returnsNothing reports whether the function that the program stands for has no
// result.
func (c *checker) returnsNothing() bool {
	switch c.img.Type {
	case ebpf.LSM:
		return c.img.Attach != ebpf.AttachLSMCgroup && c.target.isVoid()
	case ebpf.StructOps:
		return c.target.isVoid()
	case ebpf.Extension:
		return c.since(7, 0) && c.returnsVoid(0)
	}
	return false
}

// isVoid reports whether what the program is attached to has no result.
func (t *target) isVoid() bool { return t != nil && t.proto != nil && isVoid(t.proto.Return) }

// returnsObject reports whether an operation returns an object of the kernel's that it
// owns, as its type says.
func (c *checker) returnsObject(n uint8) bool {
	if c.typ.Prog != ebpf.StructOps || c.target == nil || c.target.proto == nil {
		return false
	}
	r := c.reg(n)
	want, ok := pointee(c.target.proto.Return)
	return ok && r.Type == PtrToBTF && r.BTF == c.typeOf(want, true) && c.isReferenced(r) && r.fixed() && r.minOffset() == 0
}

// resultRange is what the program may return; limited is false where that is anything.
func (c *checker) resultRange() (want returnRange, limited bool) {
	switch c.typ.Prog {
	case ebpf.LSM:
		return c.hookResult()
	case ebpf.StructOps:
		// A pointer, of which NULL is always right.
		if c.target == nil || c.target.proto == nil {
			return want, false
		}
		_, pointer := pointee(c.target.proto.Return)
		return returnRange{}, pointer
	case ebpf.RawTracepoint:
		return want, false
	}
	if c.typ.Returns == nil {
		return want, false
	}
	return returnRange{min: c.typ.Returns.Min, max: c.typ.Returns.Max}, true
}

// hookResult is resultRange of programs of LSM.
func (c *checker) hookResult() (want returnRange, limited bool) {
	if c.img.Attach == ebpf.AttachLSMCgroup {
		if c.target.isVoid() {
			return returnRange{min: 1, max: 1}, true
		}
		return returnRange{min: 0, max: 1}, true
	}
	lo, hi, ok := c.hookRange()
	return returnRange{min: int64(lo), max: int64(hi), ret32: true}, ok
}

const maxErrno = 4095

// boolHooks are the hooks of LSM that return true or false (bool_lsm_hooks).
var boolHooks = map[string]bool{
	"xfrm_state_pol_flow_match": true, "audit_rule_known": true, "inode_xattr_skipcap": true,
}

// hookRange is what a hook of LSM may return; ok is false where that is nothing or
// anything (bpf_lsm_get_retval_range).
func (c *checker) hookRange() (lo, hi int32, ok bool) {
	switch {
	case c.typ.Prog != ebpf.LSM || c.img.Attach == ebpf.AttachLSMCgroup || c.target == nil || c.target.isVoid():
		return math.MinInt32, math.MaxInt32, false
	case !c.since(6, 12):
		return math.MinInt32, math.MaxInt32, false
	case boolHooks[strings.TrimPrefix(c.target.name, "bpf_lsm_")]:
		return 0, 1, true
	}
	return -maxErrno, 0, true
}

// leaveEarly follows the way on which a packet load in a function ends it because the
// packet is too short, besides that behind the load.
func (c *checker) leaveEarly() error {
	if _, err := c.push(c.insn+1, false); err != nil {
		return err
	}
	c.reg(isa.R0).setConst(0)
	return c.leave()
}
