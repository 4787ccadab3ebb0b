package sched

import "github.com/skep-ebpf/skep/internal/errno"

// Flags of choosing a CPU.
const (
	pickCore = 1      // SCX_PICK_IDLE_CORE: whose siblings are idle, too
	wakeSync = 1 << 4 // SCX_WAKE_SYNC: the waker is about to sleep
)

// smt reports whether a core has several CPUs.
func (s *Sched) smt() bool {
	for i := range s.cpus {
		if s.cpus[i].Core != i {
			return true
		}
	}
	return false
}

// idleCore reports whether all CPUs of a core are idle.
func (s *Sched) idleCore(core int) bool {
	for i := range s.cpus {
		if s.cpus[i].Core == core && !s.cpus[i].Idle {
			return false
		}
	}
	return true
}

// Idle reports whether a CPU is idle, and whether its whole core is.
func (s *Sched) Idle(cpu int) (one, core bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &s.cpus[cpu]
	return c.Idle, s.idleCore(c.Core)
}

// Claim reports whether a CPU is idle, and makes it be taken for busy.
func (s *Sched) Claim(cpu int32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.valid(cpu, "") && s.claim(int(cpu))
}

func (s *Sched) claim(cpu int) bool {
	was := s.cpus[cpu].Idle
	s.cpus[cpu].Idle = false
	return was
}

// Pick claims an idle CPU of those allowed, one of an idle core first; -EBUSY:
// there is none. Linux takes any of them, this the first one.
func (s *Sched) Pick(allowed func(int) bool, flags uint64) int32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pick(allowed, flags)
}

func (s *Sched) pick(allowed func(int) bool, flags uint64) int32 {
	if s.smt() {
		for i := range s.cpus {
			if allowed(i) && s.idleCore(s.cpus[i].Core) && s.claim(i) {
				return int32(i)
			}
		}
		if flags&pickCore != 0 {
			return errBusy
		}
	}
	for i := range s.cpus {
		if allowed(i) && s.claim(i) {
			return int32(i)
		}
	}
	return errBusy
}

// PickAny is Pick, and where none is idle any that is allowed.
func (s *Sched) PickAny(allowed func(int) bool, flags uint64) int32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cpu := s.pick(allowed, flags); cpu >= 0 {
		return cpu
	}
	for i := range s.cpus {
		if allowed(i) {
			return int32(i)
		}
	}
	return errBusy
}

// Select claims a CPU for a task that wakes up, as Linux's own choice does: where
// it was before, on an idle core, beside where it was, or anywhere that is
// allowed. waker is the CPU that it is woken by.
func (s *Sched) Select(t *Task, prev int32, flags uint64, waker int, allowed func(int) bool, pick uint64) int32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.valid(prev, "") {
		return -int32(errno.EINVAL)
	}
	may := func(cpu int) bool { return t.allowed(cpu) && (allowed == nil || allowed(cpu)) }
	before := int(prev)
	if flags&wakeSync != 0 {
		if may(before) && s.claim(before) {
			return prev
		}
		if len(s.cpus[waker].local.tasks) == 0 && s.anyIdle() && may(waker) {
			s.claim(waker)
			return int32(waker)
		}
	}
	if s.smt() {
		if may(before) && s.idleCore(s.cpus[before].Core) && s.claim(before) {
			return prev
		}
		if cpu := s.pick(may, pickCore); cpu >= 0 || pick&pickCore != 0 {
			return cpu
		}
	}
	if may(before) && s.claim(before) {
		return prev
	}
	for i := range s.cpus {
		if s.cpus[i].Core == s.cpus[before].Core && may(i) && s.claim(i) {
			return int32(i)
		}
	}
	return s.pick(may, pick)
}

func (s *Sched) anyIdle() bool {
	for i := range s.cpus {
		if s.cpus[i].Idle {
			return true
		}
	}
	return false
}
