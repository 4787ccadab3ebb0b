package helper

import "github.com/skep-ebpf/skep/vm/exec"

// Sections that a program must not be interrupted in: there is nothing in this
// machine that would interrupt it, and memory that others free stays until the
// run ends.
func init() {
	registerKfuncs("6.3",
		&Helper{Name: "bpf_rcu_read_lock", Func: noop, Ret: RetVoid},
		&Helper{Name: "bpf_rcu_read_unlock", Func: noop, Ret: RetVoid},
	)
	registerKfuncs("6.10",
		&Helper{Name: "bpf_preempt_disable", Func: noop, Ret: RetVoid},
		&Helper{Name: "bpf_preempt_enable", Func: noop, Ret: RetVoid},
	)
	registerKfuncs("6.14",
		&Helper{Name: "bpf_local_irq_save", Func: noop, Ret: RetVoid, Slot: SlotIRQFlag, Flags: Acquire,
			Args: []Arg{ArgPtrToUninitSlot}},
		&Helper{Name: "bpf_local_irq_restore", Func: noop, Ret: RetVoid, Slot: SlotIRQFlag, Flags: Release,
			Args: []Arg{ArgPtrToReleasedSlot}},
	)
	registerKfuncs("6.7", &Helper{Name: "bpf_throw", Func: throw, Types: kfuncsGeneric, Args: []Arg{ArgAnything}, Ret: RetVoid})
}

// throw ends the program with the given result.
func throw(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	s.Engine.Throw(r1)
	return 0
}
