package sched

import (
	"fmt"
	"sync"

	"github.com/skep-ebpf/skep/internal/errno"
)

// Sched is one scheduler's CPUs, tasks and queues. It is safe for concurrent use,
// but has one operation at a time.
type Sched struct {
	mu     sync.Mutex
	cpus   []CPU
	global queue
	queues map[uint64]*queue
	tasks  map[uint64]*Task // by address
	op     operation
	exit   *Exit
	seq    uint64 // of tasks that came into a queue
}

// CPU is what a scheduler can ask of a CPU.
type CPU struct {
	Idle bool
	Core int   // CPUs of one number are siblings (SMT)
	Curr *Task // that runs; nil: the idle task
	Perf uint32
	// Kicked are the flags of scx_bpf_kick_cpu, and whether it was called.
	Kicked    bool
	KickFlags uint64

	local queue
}

// Task is a task that the scheduler has to do with.
type Task struct {
	Addr    uint64 // of its struct task_struct
	PID     uint32
	Comm    string
	CPU     int                // where it ran last
	Allowed func(cpu int) bool // nil: everywhere
	// Waiting says that the scheduler has it: it was enqueued, and is in no queue of Linux's.
	Waiting bool

	queue *queue
	vtime uint64
	seq   uint64
}

func (t *Task) String() string { return fmt.Sprintf("%s[%d]", t.Comm, t.PID) }

func (t *Task) allowed(cpu int) bool { return t.Allowed == nil || t.Allowed(cpu) }

// Exit is why Linux ends a scheduler.
type Exit struct {
	Kind    string // as in enum scx_exit_kind
	Code    int64
	Message string
}

// ExitError is the kind of an end for what the scheduler did wrong.
const ExitError = "SCX_EXIT_ERROR"

// perfOne is the performance of a CPU at its best (SCX_CPUPERF_ONE).
const perfOne = 1024

// New makes CPUs that are idle, each a core of its own.
func New(cpus int) *Sched {
	s := &Sched{queues: map[uint64]*queue{}, tasks: map[uint64]*Task{}, global: queue{id: Global}, cpus: make([]CPU, cpus)}
	for i := range s.cpus {
		s.cpus[i] = CPU{Idle: true, Core: i, Perf: perfOne, local: queue{id: Local}}
	}
	return s
}

// CPUs is how many there are.
func (s *Sched) CPUs() int { return len(s.cpus) }

// CPU gives a CPU to look at and to change while no operation runs.
func (s *Sched) CPU(i int) *CPU { return &s.cpus[i] }

// Task gives the task at an address, which make makes where it is new.
func (s *Sched) Task(addr uint64, make func() *Task) *Task {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tasks[addr]
	if t == nil {
		t = make()
		s.tasks[addr] = t
	}
	return t
}

// Exit is why Linux would have ended the scheduler; nil: it has not.
func (s *Sched) Exit() *Exit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.exit
}

// end ends the scheduler. What ends it first counts.
func (s *Sched) end(kind string, code int64, message string) {
	if s.exit == nil {
		s.exit = &Exit{kind, code, message}
	}
}

// Quit ends the scheduler, as scx_bpf_exit and scx_bpf_error do.
func (s *Sched) Quit(kind string, code int64, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(kind, code, message)
}

// fail ends the scheduler for what it did wrong.
func (s *Sched) fail(format string, args ...any) {
	s.end(ExitError, 0, fmt.Sprintf(format, args...))
}

// valid reports whether there is a CPU. A scheduler that names another one ends.
func (s *Sched) valid(cpu int32, where string) bool {
	if cpu >= 0 && int(cpu) < len(s.cpus) {
		return true
	}
	if where != "" {
		where = " " + where
	}
	s.fail("invalid CPU %d%s", cpu, where)
	return false
}

// Kick has a CPU look for a task.
func (s *Sched) Kick(cpu int32, flags uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.valid(cpu, "") {
		return
	}
	const idle, preempt, wait = 1, 2, 4 // SCX_KICK_*
	if flags&idle != 0 && flags&(preempt|wait) != 0 {
		s.fail("PREEMPT/WAIT cannot be used with SCX_KICK_IDLE")
	}
	c := &s.cpus[cpu]
	if flags&idle != 0 && c.Curr != nil {
		return
	}
	c.Kicked, c.KickFlags = true, c.KickFlags|flags
}

// Perf is how fast a CPU runs, of 1024.
func (s *Sched) Perf(cpu int32) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.valid(cpu, "") {
		return perfOne
	}
	return s.cpus[cpu].Perf
}

// SetPerf asks for a CPU's speed. In an operation that is for one CPU, only that
// one's can be set.
func (s *Sched) SetPerf(cpu int32, perf uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case perf > perfOne:
		s.fail("Invalid cpuperf target %d for CPU %d", perf, cpu)
	case !s.valid(cpu, ""):
	case s.op.locked && int(cpu) != s.op.cpu:
		s.fail("Invalid target CPU %d", cpu)
	default:
		s.cpus[cpu].Perf = perf
	}
}

// Curr is the task that runs on a CPU; nil: none.
func (s *Sched) Curr(cpu int32) *Task {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.valid(cpu, "") {
		return nil
	}
	return s.cpus[cpu].Curr
}

// Running reports whether a task runs.
func (s *Sched) Running(t *Task) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return t.CPU < len(s.cpus) && s.cpus[t.CPU].Curr == t
}

var errBusy = -int32(errno.EBUSY)
