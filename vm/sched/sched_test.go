package sched

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/errno"
)

// on lets a task run on some CPUs only.
func on(cpus ...int) func(int) bool {
	return func(cpu int) bool {
		for _, c := range cpus {
			if c == cpu {
				return true
			}
		}
		return false
	}
}

func at(v uint64) *uint64 { return &v }

// names are the tasks of a queue.
func names(t *testing.T, s *Sched, dsq uint64, cpu int) (all []string) {
	t.Helper()
	tasks, ok := s.Tasks(dsq, cpu)
	if !ok {
		t.Fatalf("there is no queue %s", Name(dsq))
	}
	for _, task := range tasks {
		all = append(all, task.Comm)
	}
	return all
}

// TestQueues has operations insert tasks, and says where they end up.
func TestQueues(t *testing.T) {
	a, b, c := &Task{Comm: "a", PID: 1}, &Task{Comm: "b", PID: 2}, &Task{Comm: "c", PID: 3, Allowed: on(1)}
	enqueue := func(s *Sched, task *Task, dsq uint64, vtime *uint64, flags uint64) {
		s.Begin("enqueue", task, 0)
		s.Insert(task, dsq, vtime, flags)
		s.End(0)
	}
	for name, tt := range map[string]struct {
		do   func(s *Sched)
		dsq  uint64
		cpu  int
		want []string
		exit string
	}{
		"first in, first out": {func(s *Sched) { enqueue(s, a, 5, nil, 0); enqueue(s, b, 5, nil, 0); enqueue(s, c, 5, nil, enqHead) },
			5, 0, []string{"c", "a", "b"}, ""},
		"virtual time, which wraps": {func(s *Sched) {
			enqueue(s, a, 5, at(10), 0)
			enqueue(s, b, 5, at(1<<64-10), 0)
			enqueue(s, c, 5, at(10), 0)
		},
			5, 0, []string{"b", "a", "c"}, ""},
		"both orders": {func(s *Sched) { enqueue(s, a, 5, nil, 0); enqueue(s, b, 5, at(1), 0) },
			5, 0, []string{"a", "b"}, "DSQ ID 0x0000000000000005 already had FIFO-enqueued tasks"},
		"virtual time in Linux's queue": {func(s *Sched) { enqueue(s, a, Global, at(1), 0) },
			Global, 0, []string{"a"}, "cannot use vtime ordering for built-in DSQs"},
		"no such queue": {func(s *Sched) { enqueue(s, a, 6, nil, 0) }, Global, 0, []string{"a"}, "non-existent DSQ 0x6"},
		"a CPU's":       {func(s *Sched) { enqueue(s, a, LocalOn|1, nil, 0) }, Local, 1, []string{"a"}, ""},
		"a CPU's that the task may not run on": {func(s *Sched) { enqueue(s, c, LocalOn, nil, 0) },
			Global, 0, []string{"c"}, "SCX_DSQ_LOCAL[_ON] target CPU 0 not allowed for c[3]"},
		"no such CPU": {func(s *Sched) { enqueue(s, a, LocalOn|9, nil, 0) },
			Global, 0, []string{"a"}, "invalid CPU 9 in SCX_DSQ_LOCAL_ON dispatch verdict"},
		"twice": {func(s *Sched) {
			s.Begin("enqueue", a, 0)
			s.Insert(a, 5, nil, 0)
			s.Insert(a, Global, nil, 0)
			s.End(0)
		},
			5, 0, []string{"a"}, "a[1] already direct-dispatched"},
		"another task": {func(s *Sched) { s.Begin("enqueue", a, 0); s.Insert(b, 5, nil, 0); s.End(0) },
			5, 0, nil, "scheduling for a[1] but trying to direct-dispatch b[2]"},
		"the chosen CPU's": {func(s *Sched) { s.Begin("select_cpu", a, 0); s.Insert(a, Local, nil, 0); s.End(1) },
			Local, 1, []string{"a"}, ""},
		"a wrong choice": {func(s *Sched) { s.Begin("select_cpu", a, 0); s.End(7) }, 5, 0, nil, "invalid CPU 7 from ops.select_cpu()"},
		"moved to the CPU that asks": {func(s *Sched) {
			enqueue(s, c, 5, nil, 0)
			enqueue(s, a, 5, nil, 0)
			s.Begin("dispatch", nil, 0)
			s.MoveToLocal(5, 0)
			s.End(0)
		}, Local, 0, []string{"a"}, ""},
		"dispatched, but for the last": {func(s *Sched) {
			a.Waiting, b.Waiting = true, true
			s.Begin("dispatch", nil, 1)
			s.Insert(a, Local, nil, 0)
			s.Insert(b, Local, nil, 0)
			s.Cancel()
			s.End(0)
		}, Local, 1, []string{"a"}, ""},
		"dispatched by another operation": {func(s *Sched) { s.Begin("running", a, 0); s.Insert(a, 5, nil, 0); s.End(0) },
			5, 0, nil, "a task was inserted by ops.running(), which inserts none"},
		"in a hurry": {func(s *Sched) { enqueue(s, a, 5, nil, enqImmed) }, 5, 0, nil, "SCX_ENQ_IMMED on a non-local DSQ 0x5"},
		"destroyed with tasks": {func(s *Sched) { enqueue(s, a, 5, nil, 0); s.Destroy(5) },
			5, 0, []string{"a"}, "attempting to destroy in-use dsq 0x0000000000000005 (nr=1)"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, task := range []*Task{a, b, c} {
				task.CPU, task.Waiting, task.queue = 0, false, nil
			}
			c.CPU = 1
			s := New(2)
			if ret := s.Create(5, -1); ret != 0 {
				t.Fatalf("create: %d", ret)
			}
			tt.do(s)
			if diff := cmp.Diff(tt.want, names(t, s, tt.dsq, tt.cpu)); diff != "" {
				t.Errorf("queue (-want +got):\n%s", diff)
			}
			got := ""
			if e := s.Exit(); e != nil {
				got = e.Message
			}
			if got != tt.exit {
				t.Errorf("exit %q, want %q", got, tt.exit)
			}
		})
	}
}

func TestCreate(t *testing.T) {
	s := New(1)
	for _, tt := range []struct {
		dsq  uint64
		node int32
		want errno.Errno
	}{{1, 0, 0}, {1, 0, errno.EEXIST}, {2, 1, errno.EINVAL}, {2, -2, errno.EINVAL}, {Global, 0, errno.EINVAL}, {2, -1, 0}} {
		if got := s.Create(tt.dsq, tt.node); got != -int32(tt.want) {
			t.Errorf("create %s on node %d: %d, want -%d", Name(tt.dsq), tt.node, got, tt.want)
		}
	}
}

// TestSelect has Linux's choice of a CPU find the idle ones one after another.
func TestSelect(t *testing.T) {
	all := &Task{Comm: "a"}
	some := &Task{Comm: "b", Allowed: on(1, 3)}
	for name, tt := range map[string]struct {
		cores []int // of each CPU
		busy  []int
		task  *Task
		prev  int32
		flags uint64
		waker int
		want  []int32
	}{
		"where it was":        {[]int{0, 1, 2, 3}, nil, all, 2, 0, 0, []int32{2, 0, 1, 3, errBusy}},
		"where it may":        {[]int{0, 1, 2, 3}, nil, some, 2, 0, 0, []int32{1, 3, errBusy}},
		"an idle core first":  {[]int{0, 0, 2, 2}, []int{1}, all, 0, 0, 0, []int32{2, 0, 3, errBusy}},
		"where it is woken":   {[]int{0, 1, 2, 3}, []int{2, 1}, all, 2, wakeSync, 1, []int32{1, 1, 1}},
		"woken, where it was": {[]int{0, 1, 2, 3}, nil, all, 2, wakeSync, 1, []int32{2, 1}},
		"no such CPU":         {[]int{0}, nil, all, 1, 0, 0, []int32{-int32(errno.EINVAL)}},
		"beside where it was": {[]int{0, 0, 2, 2}, []int{0, 2}, all, 0, 0, 0, []int32{1, 3, errBusy}},
	} {
		t.Run(name, func(t *testing.T) {
			s := New(len(tt.cores))
			for i, core := range tt.cores {
				s.CPU(i).Core = core
			}
			for _, cpu := range tt.busy {
				s.CPU(cpu).Idle = false
			}
			var got []int32
			for range tt.want {
				got = append(got, s.Select(tt.task, tt.prev, tt.flags, tt.waker, nil, 0))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("CPUs (-want +got):\n%s", diff)
			}
		})
	}
}
