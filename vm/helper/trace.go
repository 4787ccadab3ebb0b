package helper

import (
	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
)

// What a traced program asks of the place where it is attached. There are no
// hardware counters and no branch records in user space, so that those who ask
// for them get what Linux gives where a CPU has none.

func init() {
	register(
		&Helper{ID: 58, Name: "bpf_override_return", Func: overrideReturn, Args: []Arg{ArgPtrToCtx, ArgAnything}},
		&Helper{ID: 173, Name: "bpf_get_func_ip", Func: funcIP, Args: []Arg{ArgPtrToCtx}},
		&Helper{ID: 174, Name: "bpf_get_attach_cookie", Func: attachCookie, Args: []Arg{ArgPtrToCtx}},
		&Helper{ID: 183, Name: "bpf_get_func_arg", Func: funcArg, Args: []Arg{ArgPtrToCtx, ArgAnything, ArgPtrToLong}},
		&Helper{ID: 184, Name: "bpf_get_func_ret", Func: funcRet, Args: []Arg{ArgPtrToCtx, ArgPtrToLong}},
		&Helper{ID: 185, Name: "bpf_get_func_arg_cnt", Func: funcArgCount, Args: []Arg{ArgPtrToCtx}},

		&Helper{ID: 22, Name: "bpf_perf_event_read", Func: perfEventRead, Args: []Arg{ArgConstMapPtr, ArgAnything}},
		&Helper{ID: 55, Name: "bpf_perf_event_read_value", Func: perfEventReadValue,
			Args: []Arg{ArgConstMapPtr, ArgAnything, ArgPtrToUninitMem, ArgConstSize}},
		&Helper{ID: 56, Name: "bpf_perf_prog_read_value", Func: perfProgReadValue,
			Args: []Arg{ArgPtrToCtx, ArgPtrToUninitMem, ArgConstSize}},
		&Helper{ID: 119, Name: "bpf_read_branch_records", Func: readBranchRecords,
			Args: []Arg{ArgPtrToCtx, ArgPtrToUninitMemOrNull, ArgConstSizeOrZero, ArgAnything}},
		&Helper{ID: 176, Name: "bpf_get_branch_snapshot", Func: branchSnapshot,
			Args: []Arg{ArgPtrToUninitMem, ArgConstSizeOrZero, ArgAnything}},
	)
}

// overrideReturn notes what the probed function is to return instead of running.
func overrideReturn(s *exec.State, _, r2, _, _, _ uint64) uint64 {
	s.Act("override_return", r2)
	return 0
}

func funcIP(s *exec.State, _, _, _, _, _ uint64) uint64 { return s.Trace.IP }

func attachCookie(s *exec.State, _, _, _, _, _ uint64) uint64 { return s.Trace.Cookie }

// argCount is how many words of the context are arguments. Where nobody said, all
// but one are: the last is the result.
func argCount(s *exec.State) uint64 {
	if s.Trace.Args > 0 {
		return uint64(s.Trace.Args)
	}
	return uint64(max(len(s.PlainCtx())/8-1, 0))
}

func funcArgCount(s *exec.State, _, _, _, _, _ uint64) uint64 { return argCount(s) }

func funcArg(s *exec.State, _, r2, r3, _, _ uint64) uint64 {
	n := uint64(uint32(r2))
	if n >= argCount(s) {
		return errno.EINVAL.Ret()
	}
	*at[uint64](r3) = le.Uint64(s.PlainCtx()[8*n:])
	return 0
}

func funcRet(s *exec.State, _, r2, _, _, _ uint64) uint64 {
	n := argCount(s)
	if !s.Trace.HasRet || 8*n+8 > uint64(len(s.PlainCtx())) {
		return errno.EOPNOTSUPP.Ret()
	}
	*at[uint64](r2) = le.Uint64(s.PlainCtx()[8*n:])
	return 0
}

// perfIndex holds an index and its flags against a perf event array.
func perfIndex(s *exec.State, m, flags uint64) errno.Errno {
	const mask = 0xffffffff // BPF_F_INDEX_MASK, which is also BPF_F_CURRENT_CPU
	index := flags & mask
	if index == mask {
		index = uint64(s.CPU)
	}
	array := mapOf(m)
	switch {
	case array == nil || flags&^mask != 0:
		return errno.EINVAL
	case index >= uint64(array.Info().MaxEntries):
		return errno.E2BIG
	}
	return errno.ENOENT
}

func perfEventRead(s *exec.State, r1, r2, _, _, _ uint64) uint64 { return perfIndex(s, r1, r2).Ret() }

const perfValueSize = 24 // struct bpf_perf_event_value

func perfEventReadValue(s *exec.State, r1, r2, r3, r4, _ uint64) uint64 {
	clear(view(r3, uint64(uint32(r4))))
	if uint32(r4) != perfValueSize {
		return errno.EINVAL.Ret()
	}
	return perfIndex(s, r1, r2).Ret()
}

func perfProgReadValue(_ *exec.State, _, r2, r3, _, _ uint64) uint64 {
	clear(view(r2, uint64(uint32(r3))))
	if uint32(r3) != perfValueSize {
		return errno.EINVAL.Ret()
	}
	return errno.ENOENT.Ret()
}

func readBranchRecords(_ *exec.State, _, r2, r3, r4, _ uint64) uint64 {
	const getSize = 1
	if r4&^getSize != 0 {
		return errno.EINVAL.Ret()
	}
	clear(view(r2, uint64(uint32(r3))))
	return errno.ENOENT.Ret()
}

func branchSnapshot(_ *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	clear(view(r1, uint64(uint32(r2))))
	if r3 != 0 {
		return errno.EINVAL.Ret()
	}
	return errno.ENOENT.Ret()
}
