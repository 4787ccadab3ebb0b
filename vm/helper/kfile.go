package helper

import (
	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
)

func init() {
	const asksFiles = "processes, names of files"
	registerKfuncs("6.12", only([]ebpf.ProgramType{ebpf.LSM},
		&Helper{Name: "bpf_get_task_exe_file", Func: taskExeFile, Flags: Acquire | RetNull, Ret: RetPtrToObject, Asks: asksFiles,
			Args: []Arg{ArgPtrToBTF}},
		&Helper{Name: "bpf_put_file", Func: noop, Flags: Release, Ret: RetVoid, Asks: asksFiles,
			Args: []Arg{ArgPtrToOwned}},
		&Helper{Name: "bpf_path_d_path", Func: pathDPath, Asks: asksFiles,
			Args: []Arg{ArgPtrToBTF, ArgPtrToUninitMem, ArgConstSizeOrZero}},
	)...)
}

// exeOf is the name of the file that a task executes; "": none.
func exeOf(t *exec.Task) string {
	if t == nil {
		return ""
	}
	return t.Exe
}

// taskExeFile gives a struct file that programs can only ask the name of.
func taskExeFile(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	t := taskAt(s, r1)
	if exeOf(t) == "" {
		return 0
	}
	s.RetProv = exec.Nowhere
	return t.ExeFile()
}

// pathDPath is bpf_d_path with a result of 32 bits, which wants a buffer.
func pathDPath(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	if uint32(r3) == 0 {
		return result32(negative(errno.EINVAL))
	}
	return uint64(uint32(dPath(s, r1, r2, r3, 0, 0)))
}
