package helper

import "github.com/skep-ebpf/skep/vm/exec"

func init() {
	register(
		&Helper{ID: 93, Name: "bpf_spin_lock", Func: spinLock, Args: []Arg{ArgPtrToSpinLock}, Ret: RetVoid},
		&Helper{ID: 94, Name: "bpf_spin_unlock", Func: spinUnlock, Args: []Arg{ArgPtrToSpinLock}, Ret: RetVoid},
	)
	lock := []Arg{ArgPtrToResSpinLock}
	registerKfuncs("6.15",
		&Helper{Name: "bpf_res_spin_lock", Func: resSpinLock, Args: lock},
		&Helper{Name: "bpf_res_spin_unlock", Func: spinUnlock, Args: lock, Ret: RetVoid},
		// Nothing interrupts a run, so that there are no flags to save.
		&Helper{Name: "bpf_res_spin_lock_irqsave", Func: resSpinLock, Args: []Arg{ArgPtrToResSpinLock, ArgAnything}},
		&Helper{Name: "bpf_res_spin_unlock_irqrestore", Func: spinUnlock, Args: []Arg{ArgPtrToResSpinLock, ArgAnything}, Ret: RetVoid},
	)
}

// spinLock waits for a lock. Whoever waits in vain leaves when the run's context
// ends, which ends the run.
func spinLock(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	_ = s.Lock(uintptr(r1))
	return 0
}

func resSpinLock(s *exec.State, r1, _, _, _, _ uint64) uint64 { return status(s.Lock(uintptr(r1))) }

func spinUnlock(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	s.Unlock(uintptr(r1))
	return 0
}
