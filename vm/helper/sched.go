package helper

import (
	"fmt"
	"time"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/memory"
	"github.com/skep-ebpf/skep/vm/sched"
)

// What schedulers (sched_ext) call: vm/sched has the CPUs, tasks and queues, and
// here is what programs see of them.

// Sets of program types, as Linux registers the functions of schedulers.
var (
	kfuncsSched    = []ebpf.ProgramType{ebpf.StructOps}
	kfuncsSchedRun = []ebpf.ProgramType{ebpf.StructOps, ebpf.Syscall}
	kfuncsSchedAny = []ebpf.ProgramType{ebpf.StructOps, ebpf.Tracing, ebpf.TracePoint, ebpf.PerfEvent, ebpf.RawTracepoint, ebpf.Syscall}
)

const asksCPUs = "CPUs, tasks and queues"

// taskFields is what a scheduler's functions see of a struct task_struct.
type taskFields struct {
	*fields
	pid, comm, cpu, allowed, slice, vtime memory.Field
}

var taskPaths = []string{"pid", "comm", "thread_info.cpu", "cpus_ptr", "scx.slice", "scx.dsq_vtime"}

func taskFieldsOf(types Types) (*taskFields, error) {
	f, err := fieldsOf(types, "task_struct", taskPaths...)
	if err != nil {
		return nil, err
	}
	return &taskFields{f, f.all[0], f.all[1], f.all[2], f.all[3], f.all[4], f.all[5]}, nil
}

// memory is the task's structure, or nil where nobody described one.
func (f *taskFields) memory(s *exec.State, addr uint64) []byte {
	b := s.Env.Objects.Readable(addr, false)
	if uint32(len(b)) < f.bytes {
		return nil
	}
	return b
}

// task is the task whose struct task_struct is at an address; nil for NULL.
func (f *taskFields) task(s *exec.State, addr uint64) *sched.Task {
	if addr == 0 {
		return nil
	}
	return s.Env.Sched.Task(addr, func() *sched.Task {
		t := &sched.Task{Addr: addr, Waiting: true}
		if known := taskAt(s, addr); known != nil {
			t.PID, t.Comm = known.PID, known.Comm
		}
		b := f.memory(s, addr)
		if b == nil {
			return t
		}
		if pid := f.pid.Get(b); pid != 0 {
			t.PID, t.Comm = uint32(pid), string(cString(b[f.comm.Offset:][:f.comm.Size]))
		}
		t.CPU = int(min(f.cpu.Get(b), uint64(s.Env.Sched.CPUs()-1)))
		env := s.Env
		t.Allowed = func(cpu int) bool { return inMask(env, f.allowed.Get(b), cpu) }
		return t
	})
}

// inMask reports whether a CPU is in the mask at an address. A mask that nobody
// described has all.
func inMask(env *exec.Env, mask uint64, cpu int) bool {
	if mask == 0 {
		return true
	}
	b := env.Objects.Readable(mask+uint64(cpu/8), false)
	if len(b) == 0 {
		if _, ok := exec.HeapProv(uintptr(mask)); !ok {
			return true
		}
		b = view(mask+uint64(cpu/8), 1)
	}
	return b[0]&(1<<(cpu%8)) != 0
}

// set writes a number into the task's structure.
func (f *taskFields) set(s *exec.State, addr uint64, field memory.Field, v uint64) {
	if b := f.memory(s, addr); b != nil {
		field.Put(b, v)
	}
}

// refill gives a task time to run; 0: what it has left, and some at least.
func (f *taskFields) refill(s *exec.State, addr, slice uint64) {
	if b := f.memory(s, addr); b != nil && slice == 0 {
		slice = max(f.slice.Get(b), 1)
	}
	f.set(s, addr, f.slice, slice)
}

// did notes what a scheduler did, with the arguments as a person reads them.
func did(s *exec.State, what string, format string, args ...any) {
	s.Effects = append(s.Effects, exec.Effect{What: what, List: fmt.Sprintf(format, args...)})
}

// sliceName is how long a task may run.
func sliceName(slice uint64) string {
	switch slice {
	case 0:
		return "what is left"
	case ^uint64(0):
		return "SCX_SLICE_INF"
	}
	return time.Duration(slice).String()
}

// givesQueued gives a task's structure as a pointer of the kernel's; 0: no task.
func givesQueued(s *exec.State, t *sched.Task) uint64 {
	if t == nil {
		return 0
	}
	return givesStruct(s, t.Addr)
}

// onTasks is a function that looks into tasks.
func onTasks(h Helper, do func(f *taskFields) Func) *Helper {
	h.Asks = asksCPUs
	h.Bind = func(types Types) (Func, error) {
		f, err := taskFieldsOf(types)
		if err != nil {
			return nil, err
		}
		return do(f), nil
	}
	return &h
}

// onCPUs is a function that does not.
func onCPUs(name string, do Func, ret Ret, args ...Arg) *Helper {
	return &Helper{Name: name, Func: do, Ret: ret, Args: args, Asks: asksCPUs}
}

// schedOperation is what goes on around an operation of a scheduler: the world of
// vm/sched learns that it begins, and finishes it.
type schedOperation struct {
	name  string
	tasks *taskFields
}

func (o *schedOperation) begin(s *exec.State, ctx []uint64) (end func(ret uint64)) {
	word := func(i int) uint64 {
		if i < len(ctx) {
			return ctx[i]
		}
		return 0
	}
	var task *sched.Task
	cpu := 0
	switch o.name {
	case "select_cpu":
		task, cpu = o.tasks.task(s, word(0)), int(int32(word(1)))
	case "enqueue", "dequeue", "runnable", "running", "stopping", "quiescent", "tick":
		if task = o.tasks.task(s, word(0)); task != nil {
			cpu = task.CPU
		}
	case "dispatch", "update_idle", "cpu_acquire", "cpu_release":
		cpu = int(int32(word(0)))
	}
	if task == nil && (o.name == "select_cpu" || o.name == "enqueue") {
		task = &sched.Task{}
	}
	before := s.Env.Sched.Exit()
	s.Env.Sched.Begin(o.name, task, max(cpu, 0))
	return func(ret uint64) {
		s.Env.Sched.End(int32(ret))
		if e := s.Env.Sched.Exit(); before == nil && e != nil && e.Kind == sched.ExitError {
			did(s, "scx_error", "%q", e.Message)
		}
	}
}

// signed32 is an int as a result.
func signed32(v int32) uint64 { return uint64(uint32(v)) }
