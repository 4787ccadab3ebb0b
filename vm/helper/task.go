package helper

import (
	"os"
	"path/filepath"

	"github.com/skep-ebpf/skep/vm/exec"
)

// The current task of a test run in Linux is the process that asked for it; here
// too. A goroutine has no thread of its own, so that pid and tgid are the same.
// There are no cgroups and no struct task_struct.

func init() {
	register(
		&Helper{ID: 8, Name: "bpf_get_smp_processor_id", Func: processorID},
		&Helper{ID: 14, Name: "bpf_get_current_pid_tgid", Func: pidTgid},
		&Helper{ID: 15, Name: "bpf_get_current_uid_gid", Func: uidGid},
		&Helper{ID: 16, Name: "bpf_get_current_comm", Func: comm, Args: []Arg{ArgPtrToUninitMem, ArgConstSize}},
		&Helper{ID: 17, Name: "bpf_get_cgroup_classid", Func: noop},
		&Helper{ID: 35, Name: "bpf_get_current_task", Func: noop},
		&Helper{ID: 42, Name: "bpf_get_numa_node_id", Func: noop},
		&Helper{ID: 80, Name: "bpf_get_current_cgroup_id", Func: noop},
		&Helper{ID: 123, Name: "bpf_get_current_ancestor_cgroup_id", Func: noop, Args: []Arg{ArgAnything}},
	)
}

func processorID(s *exec.State, _, _, _, _, _ uint64) uint64 { return uint64(s.CPU) }

var (
	process = uint64(os.Getpid())
	// An operating system without users gives -1.
	user, group = uint64(max(os.Getuid(), 0)), uint64(max(os.Getgid(), 0))
	command     = filepath.Base(os.Args[0])
)

func pidTgid(_ *exec.State, _, _, _, _, _ uint64) uint64 { return process<<32 | process }

func uidGid(_ *exec.State, _, _, _, _, _ uint64) uint64 { return group<<32 | user }

// comm writes the command's name, at most 15 bytes of it, padded with NULs.
func comm(_ *exec.State, r1, r2, _, _, _ uint64) uint64 {
	buf := view(r1, uint64(uint32(r2)))
	if len(buf) == 0 {
		return 0
	}
	n := copy(buf[:len(buf)-1], command[:min(len(command), 15)])
	clear(buf[n:])
	return 0
}
