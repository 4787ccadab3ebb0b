package sched

// operation is the operation of the scheduler that runs.
type operation struct {
	name string
	// locked says that it is for one CPU, which is cpu.
	locked bool
	cpu    int
	// direct is the task that select_cpu or enqueue is for, until it was inserted,
	// and chosen where that was.
	direct, task *Task
	chosen       *insertion
	pending      []insertion // of dispatch
}

// insertion is a task that the operation inserts into a queue.
type insertion struct {
	task  *Task
	dsq   uint64
	vtime *uint64
	flags uint64
}

// Batch is how many tasks one call of dispatch may insert (dispatch_max_batch).
const Batch = 32

// Begin says that an operation begins: its name, the task that it is for where
// it has one, and the CPU: where the task was, or whose turn it is.
func (s *Sched) Begin(name string, task *Task, cpu int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.op = operation{name: name, cpu: cpu % len(s.cpus), task: task}
	switch name {
	case "select_cpu":
		s.op.direct, task.CPU = task, s.op.cpu
	case "enqueue":
		s.op.direct, s.op.cpu = task, task.CPU%len(s.cpus)
		s.op.locked, task.Waiting = true, true
	case "dispatch", "runnable", "running", "stopping", "quiescent", "tick", "update_idle", "cpu_acquire", "cpu_release", "dequeue":
		s.op.locked = true
	}
}

// End finishes an operation, of which ret is the result: tasks go where it sent
// them.
func (s *Sched) End(ret int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	op := &s.op
	if op.name == "select_cpu" {
		if !s.valid(ret, "from ops.select_cpu()") {
			ret = int32(op.cpu)
		}
		op.task.CPU = int(ret)
		op.cpu = int(ret)
	}
	if op.chosen != nil {
		s.deliver(op.chosen, op.cpu)
	}
	s.flush()
	s.op = operation{}
}

// deliver puts a task into the queue that it was inserted into.
func (s *Sched) deliver(in *insertion, local int) {
	q, cpu := s.target(in.dsq, local)
	if t := in.task; cpu >= 0 && cpu != t.CPU && !t.allowed(cpu) {
		s.fail("SCX_DSQ_LOCAL[_ON] target CPU %d not allowed for %s", cpu, t)
		q, cpu = &s.global, -1
	}
	if cpu >= 0 {
		in.task.CPU = cpu
	}
	s.put(q, in.task, in.vtime, in.flags)
}

// flush delivers what dispatch inserted. Tasks that the scheduler does not have any
// more are passed over.
func (s *Sched) flush() {
	for i := range s.op.pending {
		if in := &s.op.pending[i]; in.task.Waiting {
			s.deliver(in, s.op.cpu)
		}
	}
	s.op.pending = s.op.pending[:0]
}

// Insert puts a task into a queue, by virtual time where vtime is not nil. It
// reports whether it could be asked for.
func (s *Sched) Insert(t *Task, dsq uint64, vtime *uint64, flags uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if flags&enqInternal != 0 {
		s.fail("invalid enq_flags 0x%x", flags)
		return false
	}
	if !s.vet(dsq, flags) {
		return false
	}
	in := insertion{t, dsq, vtime, flags}
	switch op := &s.op; {
	case op.name == "select_cpu" || op.name == "enqueue":
		s.direct(in)
	case op.name != "dispatch":
		s.fail("a task was inserted by ops.%s(), which inserts none", op.name)
		return false
	case len(op.pending) >= Batch:
		s.fail("dispatch buffer overflow")
	default:
		op.pending = append(op.pending, in)
	}
	return true
}

// vet refuses to insert for at once anywhere but into a CPU's own queue.
func (s *Sched) vet(dsq, flags uint64) bool {
	if flags&enqImmed != 0 && dsq != Local && dsq&LocalOn != LocalOn {
		s.fail("SCX_ENQ_IMMED on a non-local DSQ 0x%x", dsq)
		return false
	}
	return true
}

// direct inserts the task that an operation is for, which it can do once.
func (s *Sched) direct(in insertion) {
	op := &s.op
	before := op.direct
	op.direct = nil
	switch {
	case before == nil:
		s.fail("%s already direct-dispatched", in.task)
	case before != in.task:
		s.fail("scheduling for %s but trying to direct-dispatch %s", before, in.task)
	default:
		op.chosen = &in
	}
}

// Slots is how many tasks dispatch may still insert.
func (s *Sched) Slots() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return uint32(Batch - len(s.op.pending))
}

// Cancel takes the last insertion back.
func (s *Sched) Cancel() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.op.pending); n > 0 {
		s.op.pending = s.op.pending[:n-1]
		return
	}
	s.fail("dispatch buffer underflow")
}

// MoveToLocal moves a queue's first task that may run on the operation's CPU to the
// CPU's own, after all that was inserted before.
func (s *Sched) MoveToLocal(dsq, flags uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.vet(Local, flags) {
		return false
	}
	s.flush()
	q := s.find(dsq)
	if q == nil {
		s.fail("invalid DSQ ID 0x%016x", dsq)
		return false
	}
	return s.consume(q, s.op.cpu, flags)
}

// Move moves a task from one queue to another; false: it is not in it any more.
func (s *Sched) Move(t *Task, from, to uint64, vtime *uint64, flags uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.vet(to, flags) || s.find(from) == nil || t.queue != s.find(from) {
		return false
	}
	t.take()
	s.deliver(&insertion{t, to, vtime, flags}, s.op.cpu)
	return true
}
