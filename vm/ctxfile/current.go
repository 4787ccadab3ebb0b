package ctxfile

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/memory"
)

// current reads which task the program runs in: an object of type task_struct,
// by its fields or by its name. It gives nil where the file does not say.
func (r *reader) current(top *entries) (*exec.Task, error) {
	e, ok := top.take("current")
	if !ok {
		return nil, nil
	}
	task := &exec.Task{}
	var err error
	switch v := e.value.(type) {
	case memory.Ref:
		task.Addr, err = r.memory.Address(v)
	case map[string]any:
		task.Addr, err = r.memory.Struct("task_struct", v)
	default:
		return nil, e.errorf("want the fields of a struct task_struct, or a named one as \"&name\"")
	}
	if err != nil {
		return nil, e.errorf("%w", err)
	}
	number := func(field string) uint32 {
		if b := r.memory.Field(task.Addr, "task_struct", field); len(b) >= 4 {
			return binary.LittleEndian.Uint32(b)
		}
		return 0
	}
	task.PID, task.TGID = number("pid"), number("tgid")
	comm, _, _ := bytes.Cut(r.memory.Field(task.Addr, "task_struct", "comm"), []byte{0})
	task.Comm = string(comm)
	return task, nil
}

// Into makes an environment one that has the file's objects, in which the program
// runs in the file's task. What else the environment knows of its current task
// stays.
func (c *Context) Into(env *exec.Env) error {
	objects, err := env.Objects.Join(c.Objects)
	if err != nil {
		return err
	}
	env.Objects = objects
	if c.Task == nil {
		return nil
	}
	task := *c.Task
	if env.Tasks != nil && env.Tasks.Current() != nil {
		task = *env.Tasks.Current()
		task.Addr, task.PID, task.TGID, task.Comm = c.Task.Addr, c.Task.PID, c.Task.TGID, c.Task.Comm
	}
	env.Tasks = &tasks{env.Tasks, &task}
	return nil
}

// tasks are others' with a current one.
type tasks struct {
	others  exec.Tasks // may be nil
	current *exec.Task
}

// Current implements [exec.Tasks].
func (t *tasks) Current() *exec.Task { return t.current }

// Task implements [exec.Tasks].
func (t *tasks) Task(pid uint32) *exec.Task {
	if pid == t.current.PID || t.others == nil {
		return t.only(pid == t.current.PID)
	}
	return t.others.Task(pid)
}

// At implements [exec.Tasks].
func (t *tasks) At(addr uint64) *exec.Task {
	if addr == t.current.Addr || t.others == nil {
		return t.only(addr == t.current.Addr)
	}
	return t.others.At(addr)
}

// All implements [exec.Tasks].
func (t *tasks) All() []*exec.Task {
	if t.others == nil {
		return []*exec.Task{t.current}
	}
	all := slices.Clone(t.others.All())
	i := slices.IndexFunc(all, func(other *exec.Task) bool { return other.PID == t.current.PID })
	if i < 0 {
		return append(all, t.current)
	}
	all[i] = t.current
	return all
}

func (t *tasks) only(is bool) *exec.Task {
	if is {
		return t.current
	}
	return nil
}
