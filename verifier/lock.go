package verifier

import (
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/maps"
)

// lockOp is what a call does with a spin lock.
type lockOp uint8

const (
	lockTake      lockOp = 1 << iota // otherwise it gives it up
	lockResilient                    // a bpf_res_spin_lock
	lockIRQ                          // and saves the interrupt state
)

// name is the lock as Linux's log writes it.
func (op lockOp) name() string {
	if op&lockResilient != 0 {
		return "bpf_res_spin"
	}
	return "bpf_spin"
}

// kind is the kind of reference that a held lock is.
func (op lockOp) kind() refKind {
	switch op & (lockResilient | lockIRQ) {
	case lockResilient:
		return refResLock
	case lockResilient | lockIRQ:
		return refResLockIRQ
	}
	return refLock
}

// field is the kind of special field that the lock is.
func (op lockOp) field() maps.FieldKind {
	if op&lockResilient != 0 {
		return maps.FieldResSpinLock
	}
	return maps.FieldSpinLock
}

// lockArgument takes or gives up the spin lock that register n points to, in a map's
// value or an object of the program's own (process_spin_lock).
func (c *checker) lockArgument(n uint8, op lockOp) error {
	if op&lockResilient == 0 && c.inTreeCallback() {
		return c.failReg(CauseLock, int(n), "can't spin_{lock,unlock} in rbtree cb")
	}
	in, err := c.lockAt(n, op)
	if err != nil {
		return err
	}
	if op&lockTake != 0 {
		return c.lock(c.reg(n).ID, in, op)
	}
	return c.unlock(c.reg(n).ID, in, op)
}

// lockAt checks that register n points to a lock, and gives what the lock is in: a
// *Map or *Type.
func (c *checker) lockAt(n uint8, op lockOp) (in any, err error) {
	r, name := c.reg(n), op.name()
	if !r.Value.IsConst() {
		return nil, c.failReg(CauseLock, int(n),
			"R%d doesn't have constant offset. %s_lock has to be at the constant offset", n, name)
	}
	where, what := "local", "kptr"
	in = r.BTF
	if r.Type == PtrToMapValue {
		if r.Map.Value == nil {
			return nil, c.failReg(CauseLock, int(n), "map '%s' has to have BTF in order to use %s_lock", r.Map.Name, name)
		}
		where, what = "map", r.Map.Name
		in = r.Map
	}
	if !r.fields().Has(op.field()) {
		return nil, c.failReg(CauseLock, int(n), "%s '%s' has no valid %s_lock", where, what, name)
	}
	if off, want := r.fixedOffset(), r.fields().Offset(op.field()); off != int64(want) {
		return nil, c.failReg(CauseLock, int(n), "off %d doesn't point to 'struct %s_lock' that is at %d", off, name, want)
	}
	return in, nil
}

// lock takes a lock, whose number tells it from others in the same map or of the same
// type.
func (c *checker) lock(id uint32, in any, op lockOp) error {
	st := c.st
	for i := range st.refs {
		r := &st.refs[i]
		switch {
		case op&lockResilient == 0 && r.kind == refLock:
			return c.fail(CauseLock, "Locking two bpf_spin_locks are not allowed")
		case op&lockResilient != 0 && (r.kind == refResLock || r.kind == refResLockIRQ) && r.id == id && r.lock == in:
			return c.fail(CauseLock, "Acquiring the same lock again, AA deadlock detected")
		}
	}
	st.refs = append(st.refs, ref{kind: op.kind(), id: id, insn: c.insn, lock: in})
	st.locks++
	st.lockID, st.lockIn = id, in
	return nil
}

// unlock gives up the lock that was taken last.
func (c *checker) unlock(id uint32, in any, op lockOp) error {
	st, name := c.st, op.name()
	if st.locks == 0 {
		return c.fail(CauseLock, "%s_unlock without taking a lock", name)
	}
	held, before := -1, ref{}
	for i := range st.refs {
		r := &st.refs[i]
		if r.kind == op.kind() && r.id == id && r.lock == in {
			held = i
			break
		}
		if refAnyLock&(1<<r.kind) != 0 {
			before = *r
		}
	}
	if held < 0 {
		return c.fail(CauseLock, "%s_unlock of different lock", name)
	}
	if id != st.lockID || in != st.lockIn {
		return c.fail(CauseLock, "%s_unlock cannot be out of order", name)
	}
	inRCU := c.inRCU()
	st.refs = append(st.refs[:held:held], st.refs[held+1:]...)
	st.locks--
	st.lockID, st.lockIn = before.id, before.lock
	if inRCU && !c.inRCU() {
		c.leaveRCU()
	}
	c.invalidateNonOwning()
	return nil
}

// callAllowed refuses calls that may not be made while a spin lock is held.
func (c *checker) callAllowed(ins *isa.Instruction) error {
	if c.st.locks == 0 {
		return nil
	}
	switch ins.Src {
	case isa.CallHelper:
		if id := asm.BuiltinFunc(ins.Imm); id == asm.FnSpinUnlock || id == asm.FnKptrXchg && c.since(7, 0) {
			return nil
		}
	case isa.CallKfunc:
		if k := c.img.Kfuncs[c.insn]; k != nil && c.kfuncUnderLock(k.Name) {
			return nil
		}
	default:
		return nil
	}
	return c.fail(CauseLock, "function calls are not allowed while holding a lock")
}
