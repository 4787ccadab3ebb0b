package sched

import (
	"fmt"
	"slices"

	"github.com/skep-ebpf/skep/internal/errno"
)

// The numbers of Linux's own queues (enum scx_dsq_id_flags).
const (
	builtin    = 1 << 63
	Global     = builtin | 1
	Local      = builtin | 2
	LocalOn    = builtin | 1<<62 // with a CPU's number
	localCPU   = 1<<32 - 1
	maxUserDSQ = builtin - 1
)

// Name is a queue's number as C has it.
func Name(dsq uint64) string {
	switch {
	case dsq == Global:
		return "SCX_DSQ_GLOBAL"
	case dsq == Local:
		return "SCX_DSQ_LOCAL"
	case dsq&LocalOn == LocalOn:
		return fmt.Sprintf("SCX_DSQ_LOCAL_ON|%d", dsq&localCPU)
	}
	return fmt.Sprintf("%d", dsq)
}

// Flags of an insertion (enum scx_enq_flags).
const (
	enqHead     = 1 << 16
	enqPreempt  = 1 << 32
	enqImmed    = 1 << 33
	enqInternal = 0xff << 56
)

// queue is a dispatch queue: first in, first out, or by virtual time.
type queue struct {
	id     uint64
	tasks  []*Task // in the order in which they leave
	byTime bool    // the tasks in it are in the order of their virtual time
}

// before orders virtual times, which wrap.
func before(a, b uint64) bool { return int64(a-b) < 0 }

// put puts a task into a queue; vtime orders it there, where it is not nil.
func (s *Sched) put(q *queue, t *Task, vtime *uint64, flags uint64) {
	if vtime != nil && q.id&builtin != 0 {
		s.fail("cannot use vtime ordering for built-in DSQs")
		vtime = nil
	}
	if len(q.tasks) == 0 {
		q.byTime = vtime != nil
	}
	at := len(q.tasks)
	switch {
	case vtime != nil && !q.byTime:
		s.fail("DSQ ID 0x%016x already had FIFO-enqueued tasks", q.id)
	case vtime == nil && q.byTime:
		s.fail("DSQ ID 0x%016x already had PRIQ-enqueued tasks", q.id)
	case vtime != nil:
		t.vtime = *vtime
		at, _ = slices.BinarySearchFunc(q.tasks, t, func(other, t *Task) int {
			if before(t.vtime, other.vtime) {
				return 1
			}
			return -1 // behind those of the same time
		})
	case flags&(enqHead|enqPreempt) != 0:
		at = 0
	}
	s.seq++
	t.queue, t.seq, t.Waiting = q, s.seq, false
	q.tasks = slices.Insert(q.tasks, at, t)
}

// take takes a task out of its queue.
func (t *Task) take() {
	if q := t.queue; q != nil {
		q.tasks = slices.DeleteFunc(q.tasks, func(other *Task) bool { return other == t })
		t.queue = nil
	}
}

// find gives a queue that the scheduler made, or nil.
func (s *Sched) find(dsq uint64) *queue { return s.queues[dsq] }

// target is the queue that an insertion means; Linux's for all CPUs where there is
// none of that number. local is the CPU that SCX_DSQ_LOCAL stands for.
func (s *Sched) target(dsq uint64, local int) (q *queue, cpu int) {
	switch {
	case dsq == Local:
		return &s.cpus[local].local, local
	case dsq&LocalOn == LocalOn:
		cpu := int32(dsq & localCPU)
		if !s.valid(cpu, "in SCX_DSQ_LOCAL_ON dispatch verdict") {
			return &s.global, -1
		}
		return &s.cpus[cpu].local, int(cpu)
	case dsq == Global:
		return &s.global, -1
	}
	if q := s.find(dsq); q != nil {
		return q, -1
	}
	s.fail("non-existent DSQ 0x%x", dsq)
	return &s.global, -1
}

// Create makes a queue.
func (s *Sched) Create(dsq uint64, node int32) int32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case node != 0 && node != -1, dsq > maxUserDSQ: // there is one node
		return -int32(errno.EINVAL)
	case s.find(dsq) != nil:
		return -int32(errno.EEXIST)
	}
	s.queues[dsq] = &queue{id: dsq}
	return 0
}

// Destroy takes a queue away, which must be empty.
func (s *Sched) Destroy(dsq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.find(dsq)
	switch {
	case q == nil:
	case len(q.tasks) > 0:
		s.fail("attempting to destroy in-use dsq 0x%016x (nr=%d)", dsq, len(q.tasks))
	default:
		delete(s.queues, dsq)
	}
}

// Queued is how many tasks a queue has; cpu is the one that asks.
func (s *Sched) Queued(dsq uint64, cpu int) int32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case dsq == Local:
		if s.op.locked {
			cpu = s.op.cpu
		}
		return int32(len(s.cpus[cpu%len(s.cpus)].local.tasks))
	case dsq&LocalOn == LocalOn:
		if n := int32(dsq & localCPU); s.valid(n, "") {
			return int32(len(s.cpus[n].local.tasks))
		}
	default:
		if q := s.find(dsq); q != nil {
			return int32(len(q.tasks))
		}
	}
	return -int32(errno.ENOENT)
}

// Peek is the first task of a queue that the scheduler made; nil: there is none.
func (s *Sched) Peek(dsq uint64) *Task {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.find(dsq)
	switch {
	case dsq&builtin != 0:
		s.fail("peek disallowed on builtin DSQ 0x%x", dsq)
	case q == nil:
		s.fail("peek on non-existent DSQ 0x%x", dsq)
	case len(q.tasks) > 0:
		return q.tasks[0]
	}
	return nil
}

// Tasks are the tasks of a queue in their order; ok says that there is such a
// queue. cpu is whose local one is meant.
func (s *Sched) Tasks(dsq uint64, cpu int) (tasks []*Task, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.find(dsq)
	switch dsq {
	case Global:
		q = &s.global
	case Local:
		q = &s.cpus[cpu].local
	}
	if q == nil {
		return nil, false
	}
	return slices.Clone(q.tasks), true
}

// Next takes the task that a CPU runs next out of its queue, or out of that for all
// CPUs; nil: both have none for it.
func (s *Sched) Next(cpu int) *Task {
	s.mu.Lock()
	defer s.mu.Unlock()
	local := &s.cpus[cpu].local
	if len(local.tasks) == 0 && !s.consume(&s.global, cpu, 0) {
		return nil
	}
	t := local.tasks[0]
	t.take()
	return t
}

// consume moves a queue's first task that may run on a CPU to the CPU's own.
func (s *Sched) consume(q *queue, cpu int, flags uint64) bool {
	for _, t := range q.tasks {
		if t.CPU == cpu || t.allowed(cpu) {
			t.take()
			t.CPU = cpu
			s.put(&s.cpus[cpu].local, t, nil, flags)
			return true
		}
	}
	return false
}

// Arrival is the number of the task's way into the queue that it is in: younger
// ones have greater numbers.
func (t *Task) Arrival() uint64 { return t.seq }
