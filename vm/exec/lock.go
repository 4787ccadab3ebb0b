package exec

import (
	"runtime"
	"slices"
	"sync/atomic"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
)

// Lock takes the lock word at an address (bpf_spin_lock, bpf_res_spin_lock): 0 is
// free, 1 is held. It gives EDEADLK where this run holds it, and ETIMEDOUT where
// the run's context ends first.
func (s *State) Lock(addr uintptr) error {
	if slices.Contains(s.locks, addr) {
		return errno.EDEADLK
	}
	word := (*uint32)(mem.At(addr))
	for n := 1; !atomic.CompareAndSwapUint32(word, 0, 1); n++ {
		if n%64 != 0 {
			continue
		}
		if s.Context.Err() != nil {
			return errno.ETIMEDOUT
		}
		runtime.Gosched() // the holder may be waiting for this processor
	}
	s.locks = append(s.locks, addr)
	return nil
}

// Unlock releases a lock that this run holds, and reports whether it does.
func (s *State) Unlock(addr uintptr) bool {
	i := slices.Index(s.locks, addr)
	if i < 0 {
		return false
	}
	s.locks = slices.Delete(s.locks, i, i+1)
	atomic.StoreUint32((*uint32)(mem.At(addr)), 0)
	return true
}

// Holds reports whether this run holds the lock at an address.
func (s *State) Holds(addr uintptr) bool { return slices.Contains(s.locks, addr) }

// UnlockAll releases what the run still holds at its end, and gives how many
// locks that were.
func (s *State) UnlockAll() int {
	n := len(s.locks)
	for n := len(s.locks); n > 0; n = len(s.locks) {
		s.Unlock(s.locks[n-1])
	}
	return n
}
