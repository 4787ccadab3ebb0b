package helper

import (
	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
)

// References of tasks are counted in checked mode only: a task that the
// environment tells of stays.
func init() {
	registerKfuncs("6.2", only(kfuncsGeneric,
		&Helper{Name: "bpf_task_acquire", Func: taskAcquire, Flags: Acquire | RetNull, Ret: RetPtrToObject, Asks: asksTasks,
			Args: []Arg{ArgPtrToBTF}},
		&Helper{Name: "bpf_task_release", Func: noop, Flags: Release, Ret: RetVoid, Asks: asksTasks,
			Args: []Arg{ArgPtrToOwned}},
		&Helper{Name: "bpf_task_from_pid", Func: taskFromPID, Flags: Acquire | RetNull, Ret: RetPtrToObject, Asks: asksTasks,
			Args: []Arg{ArgAnything}},
	)...)
	registerKfuncs("6.13", only(kfuncsGeneric,
		&Helper{Name: "bpf_send_signal_task", Func: sendSignalTask, Asks: asksTasks,
			Args: []Arg{ArgPtrToBTF, ArgAnything, ArgAnything, ArgAnything}},
	)...)
	registerKfuncs("6.14", only(kfuncsGeneric,
		&Helper{Name: "bpf_task_from_vpid", Func: taskFromVPID, Flags: Acquire | RetNull, Ret: RetPtrToObject, Asks: asksTasks,
			Args: []Arg{ArgAnything}},
	)...)
}

func taskAcquire(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	if taskAt(s, r1) == nil {
		return 0
	}
	s.RetProv = s.ArgProv[0]
	return r1
}

func taskFromPID(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	pid := uint32(r1)
	t := &process
	if s.Env.Tasks != nil {
		t = s.Env.Tasks.Task(pid)
	} else if pid != process.PID {
		t = nil
	}
	return givesTask(s, t)
}

// givesTask gives the address of a task's structure, 0 for no task.
func givesTask(s *exec.State, t *exec.Task) uint64 {
	if t == nil {
		return 0
	}
	return givesStruct(s, t.Addr)
}

// taskFromVPID finds a task by its number in the PID namespace of the current one.
// A task of which no namespace is said is in the first, where numbers are pids.
func taskFromVPID(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	t, pid := current(s), uint32(r1)
	switch {
	case t == nil:
		return 0
	case t.PIDNS.Ino == 0:
		return taskFromPID(s, r1, 0, 0, 0, 0)
	}
	for _, other := range s.Env.Tasks.All() {
		if ns := other.PIDNS; ns.Ino == t.PIDNS.Ino && ns.Dev == t.PIDNS.Dev && ns.PID == pid && pid != 0 {
			return givesTask(s, other)
		}
	}
	return 0
}

// sendSignalTask notes a signal with a value that the program sends to a thread, or
// to its process (enum pid_type).
func sendSignalTask(s *exec.State, r1, r2, r3, r4, _ uint64) uint64 {
	const pidTypeTGID = 1
	if uint32(r3) > pidTypeTGID {
		return result32(negative(errno.EINVAL))
	}
	t := taskAt(s, r1)
	if err := mayKill(t, uint32(r2)); err != 0 {
		return result32(negative(err))
	}
	s.Act("send_signal_task", uint64(uint32(r2)), uint64(t.PID), uint64(uint32(r3)), r4)
	return 0
}
