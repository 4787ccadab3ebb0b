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
	registerKfuncs("6.3",
		&Helper{Name: "bpf_xdp_metadata_rx_timestamp", Func: noMetadata, Types: kfuncsXDP,
			Args: []Arg{ArgPtrToCtx, ArgPtrToLong}},
		&Helper{Name: "bpf_xdp_metadata_rx_hash", Func: noMetadata, Types: kfuncsXDP,
			Args: []Arg{ArgPtrToCtx, ArgPtrToInt, ArgPtrToInt}},
	)
	registerKfuncs("6.8",
		&Helper{Name: "bpf_xdp_metadata_rx_vlan_tag", Func: noMetadata, Types: kfuncsXDP, FixedSize: 2,
			Args: []Arg{ArgPtrToCtx, ArgPtrToFixedMem, ArgPtrToFixedMem}},
	)
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
	if t == nil {
		return 0
	}
	s.RetProv = s.Env.Objects.Prov(t.Addr)
	return t.Addr
}

// noMetadata is what a network device's driver says that tells nothing of a
// packet, and there is no device here.
func noMetadata(*exec.State, uint64, uint64, uint64, uint64, uint64) uint64 {
	return result32(negative(errno.EOPNOTSUPP))
}
