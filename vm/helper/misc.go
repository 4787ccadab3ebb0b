package helper

import (
	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
)

func init() {
	register(
		&Helper{ID: 24, Name: "bpf_get_route_realm", Func: noop, Args: []Arg{ArgPtrToCtx}}, // no packet has a route
		&Helper{ID: 66, Name: "bpf_skb_get_xfrm_state", Func: xfrmState,
			Args: []Arg{ArgPtrToCtx, ArgAnything, ArgPtrToUninitMem, ArgConstSize, ArgAnything}},

		&Helper{ID: 77, Name: "bpf_rc_repeat", Func: note("rc_repeat", 0), Args: []Arg{ArgPtrToCtx}},
		&Helper{ID: 78, Name: "bpf_rc_keydown", Func: note("rc_keydown", 3),
			Args: []Arg{ArgPtrToCtx, ArgAnything, ArgAnything, ArgAnything}},
		&Helper{ID: 92, Name: "bpf_rc_pointer_rel", Func: note("rc_pointer_rel", 2),
			Args: []Arg{ArgPtrToCtx, ArgAnything, ArgAnything}},

		&Helper{ID: 147, Name: "bpf_d_path", Func: dPath, Asks: "names of files",
			Args: []Arg{ArgPtrToBTF, ArgPtrToUninitMem, ArgConstSizeOrZero}},
		&Helper{ID: 159, Name: "bpf_bprm_opts_set", Func: setExecOptions, Args: []Arg{ArgPtrToBTF, ArgAnything}},
	)
	registerKfuncs("6.1", only(kfuncsGeneric,
		&Helper{Name: "crash_kexec", Func: crashKexec, Ret: RetVoid, Args: []Arg{ArgAnything}},
	)...)
	// Compilers put it where a program cannot come; the verifier refuses one that does.
	registerKfuncs("6.16", &Helper{Name: "__bpf_trap", Func: noop, Ret: RetVoid})
}

// crashKexec notes that the program would end the system.
func crashKexec(s *exec.State, _, _, _, _, _ uint64) uint64 {
	s.Act("crash_kexec")
	return 0
}

// note makes a helper that notes its arguments behind the context.
func note(what string, args int) Func {
	return func(s *exec.State, _, r2, r3, r4, _ uint64) uint64 {
		all := [3]uint64{r2, r3, r4}
		s.Act(what, all[:args]...)
		return 0
	}
}

// xfrmState finds no state: no packet here went through IPsec.
func xfrmState(_ *exec.State, _, _, r3, r4, _ uint64) uint64 {
	clear(view(r3, uint64(uint32(r4))))
	return errno.EINVAL.Ret()
}

// dPath writes the name of a file, and gives its length with the NUL.
func dPath(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	to := view(r2, uint64(uint32(r3)))
	name, ok := pathName(s, r1)
	switch {
	case len(to) == 0:
		return 0
	case !ok:
		return errno.ENOENT.Ret()
	case len(name)+1 > len(to):
		return errno.ENAMETOOLONG.Ret()
	}
	n := copy(to, name)
	to[n] = 0
	return uint64(n) + 1
}

// pathName is the name of the file whose struct path an address is.
func pathName(s *exec.State, addr uint64) (string, bool) {
	if name, ok := s.Env.Paths[addr]; ok {
		return name, true
	}
	tgid, ok := exec.ExeFileOf(addr)
	if !ok || s.Env.Tasks == nil {
		return "", false
	}
	t := s.Env.Tasks.Task(tgid)
	return exeOf(t), exeOf(t) != ""
}

func setExecOptions(s *exec.State, _, r2, _, _, _ uint64) uint64 {
	const secure = 1 // BPF_F_BPRM_SECUREEXEC
	if r2&^secure != 0 {
		return errno.EINVAL.Ret()
	}
	s.Act("bprm_opts_set", r2)
	return 0
}
