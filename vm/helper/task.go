package helper

import (
	"os"
	"path/filepath"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
)

// The current task of a test run in Linux is the process that asked for it; here
// too, unless the environment knows of tasks. A goroutine has no thread of its
// own, so that this process's pid and tgid are the same.

const asksTasks = "processes"

func init() {
	register(
		&Helper{ID: 8, Name: "bpf_get_smp_processor_id", Func: processorID},
		&Helper{ID: 14, Name: "bpf_get_current_pid_tgid", Func: pidTgid, Asks: asksTasks},
		&Helper{ID: 15, Name: "bpf_get_current_uid_gid", Func: uidGid, Asks: asksTasks},
		&Helper{ID: 16, Name: "bpf_get_current_comm", Func: comm, Asks: asksTasks, Args: []Arg{ArgPtrToUninitMem, ArgConstSize}},
		&Helper{ID: 17, Name: "bpf_get_cgroup_classid", Func: classID, Asks: asksTasks},
		&Helper{ID: 35, Name: "bpf_get_current_task", Func: currentTask, Asks: asksTasks},
		&Helper{ID: 42, Name: "bpf_get_numa_node_id", Func: noop},
		&Helper{ID: 109, Name: "bpf_send_signal", Func: sendSignal("send_signal"), Asks: asksTasks, Args: []Arg{ArgAnything}},
		&Helper{ID: 117, Name: "bpf_send_signal_thread", Func: sendSignal("send_signal_thread"), Asks: asksTasks, Args: []Arg{ArgAnything}},
		&Helper{ID: 120, Name: "bpf_get_ns_current_pid_tgid", Func: nsPidTgid, Asks: asksTasks,
			Args: []Arg{ArgAnything, ArgAnything, ArgPtrToUninitMem, ArgConstSize}},
		&Helper{ID: 158, Name: "bpf_get_current_task_btf", Func: currentTask, Asks: asksTasks, Ret: RetPtrToBTF},
		&Helper{ID: 175, Name: "bpf_task_pt_regs", Func: taskRegs, Asks: asksTasks, Ret: RetPtrToBTF, Args: []Arg{ArgPtrToBTF}},
		&Helper{ID: 180, Name: "bpf_find_vma", Func: findVMA, Asks: asksTasks,
			Args: []Arg{ArgPtrToBTF, ArgAnything, ArgPtrToFunc, ArgPtrToStackOrNull, ArgAnything}},
	)
}

func processorID(s *exec.State, _, _, _, _, _ uint64) uint64 { return uint64(s.CPU) }

// process is this one, which programs run in where the environment says nothing
// of tasks. An operating system without users gives -1 for them.
var process = exec.Task{
	PID: uint32(os.Getpid()), TGID: uint32(os.Getpid()),
	UID: uint32(max(os.Getuid(), 0)), GID: uint32(max(os.Getgid(), 0)),
	Comm: filepath.Base(os.Args[0]),
	Addr: exec.NoTaskStruct(uint32(os.Getpid())),
}

// current is the task that the program runs in, or nil.
func current(s *exec.State) *exec.Task {
	switch {
	case s.Task != nil:
		return s.Task
	case s.Env.Tasks == nil:
		return &process
	}
	return s.Env.Tasks.Current()
}

// taskAt is the task whose struct task_struct begins at an address, or nil.
func taskAt(s *exec.State, addr uint64) *exec.Task {
	switch {
	case s.Env.Tasks != nil:
		return s.Env.Tasks.At(addr)
	case addr == process.Addr:
		return &process
	}
	return nil
}

func pidTgid(s *exec.State, _, _, _, _, _ uint64) uint64 {
	t := current(s)
	if t == nil {
		return errno.EINVAL.Ret()
	}
	return uint64(t.TGID)<<32 | uint64(t.PID)
}

func uidGid(s *exec.State, _, _, _, _, _ uint64) uint64 {
	t := current(s)
	if t == nil {
		return errno.EINVAL.Ret()
	}
	return uint64(t.GID)<<32 | uint64(t.UID)
}

// comm writes the command's name, at most 15 bytes of it, padded with NULs.
func comm(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
	buf := view(r1, uint64(uint32(r2)))
	t := current(s)
	if t == nil {
		clear(buf)
		return errno.EINVAL.Ret()
	}
	if len(buf) == 0 {
		return 0
	}
	n := copy(buf[:len(buf)-1], t.Comm[:min(len(t.Comm), 15)])
	clear(buf[n:])
	return 0
}

func classID(s *exec.State, _, _, _, _, _ uint64) uint64 {
	if t := current(s); t != nil {
		return uint64(t.ClassID)
	}
	return 0
}

func currentTask(s *exec.State, _, _, _, _, _ uint64) uint64 {
	if t := current(s); t != nil {
		return t.Addr
	}
	return 0
}

// sendSignal notes a signal that the program sends to its task.
func sendSignal(what string) Func {
	return func(s *exec.State, r1, _, _, _, _ uint64) uint64 {
		t := current(s)
		if err := mayKill(t, uint32(r1)); err != 0 {
			return err.Ret()
		}
		s.Act(what, uint64(uint32(r1)), uint64(t.PID))
		return 0
	}
}

// mayKill says why a signal cannot be sent to a task: there is none, or the first
// process is not to be disturbed, or there is no such signal.
func mayKill(t *exec.Task, signal uint32) errno.Errno {
	const (
		firstPID = 1
		last     = 64 // SIGRTMAX
	)
	switch {
	case t == nil || t.TGID == firstPID:
		return errno.EPERM
	case signal > last:
		return errno.EINVAL
	}
	return 0
}

// nsPidTgid gives the task's numbers in a namespace, if that is its own.
func nsPidTgid(s *exec.State, r1, r2, r3, r4, _ uint64) uint64 {
	const infoSize = 8 // struct bpf_pidns_info
	info := view(r3, uint64(uint32(r4)))
	t := current(s)
	if len(info) != infoSize || t == nil || t.PIDNS.Ino == 0 || r1 != t.PIDNS.Dev || r2 != t.PIDNS.Ino {
		clear(info)
		return errno.EINVAL.Ret()
	}
	le.PutUint32(info, t.PIDNS.PID)
	le.PutUint32(info[4:], t.PIDNS.TGID)
	return 0
}

func taskRegs(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	if t := taskAt(s, r1); t != nil {
		return t.Regs
	}
	return 0
}

// findVMA calls a function with the task and the mapping that holds an address.
func findVMA(s *exec.State, r1, r2, r3, r4, r5 uint64) uint64 {
	t := taskAt(s, r1)
	switch {
	case r5 != 0:
		return errno.EINVAL.Ret()
	case t == nil:
		return errno.ENOENT.Ret()
	}
	for _, a := range t.Areas {
		if r2 < a.Start || r2 >= a.End {
			continue
		}
		args := [5]uint64{r1, a.Addr, r4}
		provs := [5]exec.Prov{s.ArgProv[0], s.Env.Objects.Prov(a.Addr), s.ArgProv[3]}
		// A fault ends the run: the engine that met it knows.
		_, _ = s.Engine.Callback(s, uint32(r3), &args, &provs)
		return 0
	}
	return errno.ENOENT.Ret()
}
