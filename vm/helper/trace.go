package helper

import (
	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
)

// What a traced program asks of the place where it is attached.

func init() {
	register(
		&Helper{ID: 58, Name: "bpf_override_return", Func: overrideReturn, Args: []Arg{ArgPtrToCtx, ArgAnything}},
		&Helper{ID: 173, Name: "bpf_get_func_ip", Func: funcIP, Args: []Arg{ArgPtrToCtx}},
		&Helper{ID: 174, Name: "bpf_get_attach_cookie", Func: attachCookie, Args: []Arg{ArgPtrToCtx}},
		&Helper{ID: 183, Name: "bpf_get_func_arg", Func: funcArg, Args: []Arg{ArgPtrToCtx, ArgAnything, ArgPtrToLong}},
		&Helper{ID: 184, Name: "bpf_get_func_ret", Func: funcRet, Args: []Arg{ArgPtrToCtx, ArgPtrToLong}},
		&Helper{ID: 185, Name: "bpf_get_func_arg_cnt", Func: funcArgCount, Args: []Arg{ArgPtrToCtx}},
	)
	registerKfuncs("6.10", only([]ebpf.ProgramType{ebpf.Kprobe, ebpf.Tracing},
		&Helper{Name: "bpf_session_is_return", Func: sessionReturns},
		&Helper{Name: "bpf_session_cookie", Func: sessionCookie, Ret: RetPtrToMem},
	)...)
}

// sessionReturns tells a run of a session's program at the return of the function from
// that at its entry. Since 7.1 both functions are given the context.
func sessionReturns(s *exec.State, _, _, _, _, _ uint64) uint64 { return truth(s.Trace.Return) }

// sessionCookie gives the address of the number that both runs share.
func sessionCookie(s *exec.State, _, _, _, _, _ uint64) uint64 {
	s.RetProv = exec.Make(exec.RegionBuffer, 0)
	return uint64(s.Buffer.Base)
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
