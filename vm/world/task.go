package world

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/skep-ebpf/skep/vm/exec"
)

// tasks implements [exec.Tasks].
type tasks struct {
	current *exec.Task
	all     []*exec.Task
	byPID   map[uint32]*exec.Task
	byAddr  map[uint64]*exec.Task
}

// Current implements [exec.Tasks].
func (t *tasks) Current() *exec.Task { return t.current }

// Task implements [exec.Tasks].
func (t *tasks) Task(pid uint32) *exec.Task { return t.byPID[pid] }

// At implements [exec.Tasks].
func (t *tasks) At(addr uint64) *exec.Task { return t.byAddr[addr] }

// All implements [exec.Tasks].
func (t *tasks) All() []*exec.Task { return t.all }

func (t *tasks) add(all []Process, groups *cgroups) error {
	t.byPID, t.byAddr = map[uint32]*exec.Task{}, map[uint64]*exec.Task{}
	for i := range all {
		p := &all[i]
		task := exec.Task{
			PID: p.PID, TGID: p.PID, PPID: p.PPID, UID: p.UID, GID: p.GID, Comm: p.Comm, Exe: p.Exe,
			Addr: p.Task, Regs: p.Regs, KernelStack: p.KernelStack, UserStack: p.UserStack,
		}
		var err error
		if task.Cgroup, err = groups.id(p.Cgroup); err != nil {
			return fmt.Errorf("process %d: %w", p.PID, err)
		}
		task.ClassID = groups.class[task.Cgroup]
		if ns := p.PIDNS; ns != nil {
			task.PIDNS = exec.PIDNamespace{Dev: ns.Dev, Ino: ns.Ino, PID: ns.PID, TGID: ns.PID}
		}
		for _, a := range p.Memory {
			if a.End <= a.Start {
				return fmt.Errorf("process %d: memory from %#x to %#x is empty", p.PID, a.Start, a.End)
			}
			task.Areas = append(task.Areas, exec.MemoryArea{Start: a.Start, End: a.End, Addr: a.VMA})
		}
		slices.SortFunc(task.Areas, func(a, b exec.MemoryArea) int { return cmp.Compare(a.Start, b.Start) })
		for n := range task.Areas {
			if a := &task.Areas[n]; a.Addr == 0 {
				a.Addr = exec.NoAreaStruct(p.PID, n)
			}
		}
		if err := t.put(&task); err != nil {
			return err
		}
		for _, th := range p.Threads {
			thread := task
			thread.PID, thread.PIDNS.PID = th.PID, 0
			thread.Addr, thread.KernelStack, thread.UserStack = th.Task, th.KernelStack, th.UserStack
			if th.Comm != "" {
				thread.Comm = th.Comm
			}
			if err := t.put(&thread); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *tasks) put(task *exec.Task) error {
	if task.PID == 0 {
		return fmt.Errorf("process %q has no pid", task.Comm)
	}
	if t.byPID[task.PID] != nil {
		return fmt.Errorf("two processes or threads have the pid %d", task.PID)
	}
	if task.Addr == 0 {
		task.Addr = exec.NoTaskStruct(task.PID)
	}
	t.byPID[task.PID], t.byAddr[task.Addr] = task, task
	t.all = append(t.all, task)
	return nil
}
