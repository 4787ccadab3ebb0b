package world

import (
	"fmt"

	"github.com/skep-ebpf/skep/vm/sched"
)

// maxCPUs is how many CPUs a description may have: as many as a mask has.
const maxCPUs = 8192

// schedule makes what schedulers find; nil where the description does not say.
func (w *World) schedule(d *Sched) (*sched.Sched, error) {
	if d == nil {
		return nil, nil
	}
	smt := max(d.SMT, 1)
	if d.CPUs < 1 || d.CPUs > maxCPUs || d.CPUs%smt != 0 {
		return nil, fmt.Errorf("cpus: %d with %d of them in a core: want from 1 to %d, and whole cores", d.CPUs, smt, maxCPUs)
	}
	s := sched.New(d.CPUs)
	cpu := func(i int) (*sched.CPU, error) {
		if i < 0 || i >= d.CPUs {
			return nil, fmt.Errorf("there is no CPU %d of %d", i, d.CPUs)
		}
		return s.CPU(i), nil
	}
	for i := range d.CPUs {
		s.CPU(i).Core = i / smt * smt
	}
	for _, i := range d.Busy {
		c, err := cpu(i)
		if err != nil {
			return nil, fmt.Errorf("busy: %w", err)
		}
		c.Idle = false
	}
	for i, pid := range d.Run {
		c, err := cpu(i)
		if err != nil {
			return nil, fmt.Errorf("running: %w", err)
		}
		p := w.tasks.Task(pid)
		if p == nil {
			return nil, fmt.Errorf("running: there is no process %d", pid)
		}
		c.Idle = false
		c.Curr = s.Task(p.Addr, func() *sched.Task { return &sched.Task{Addr: p.Addr, PID: pid, Comm: p.Comm, CPU: i} })
	}
	for _, q := range d.Queues {
		if ret := s.Create(q, 0); ret != 0 {
			return nil, fmt.Errorf("queues: %d cannot be one: it is there twice, or Linux's own", q)
		}
	}
	return s, nil
}
