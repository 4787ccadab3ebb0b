package helper

import (
	"path"
	"strings"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
)

const asksSysctl = "the sysctl that is read or written"

func init() {
	register(
		&Helper{ID: 101, Name: "bpf_sysctl_get_name", Func: sysctlName, Asks: asksSysctl,
			Args: []Arg{ArgPtrToCtx, ArgPtrToUninitMem, ArgConstSize, ArgAnything}},
		&Helper{ID: 102, Name: "bpf_sysctl_get_current_value", Func: sysctlCurrent, Asks: asksSysctl,
			Args: []Arg{ArgPtrToCtx, ArgPtrToUninitMem, ArgConstSize}},
		&Helper{ID: 103, Name: "bpf_sysctl_get_new_value", Func: sysctlNew, Asks: asksSysctl,
			Args: []Arg{ArgPtrToCtx, ArgPtrToUninitMem, ArgConstSize}},
		&Helper{ID: 104, Name: "bpf_sysctl_set_new_value", Func: setSysctl, Asks: asksSysctl,
			Args: []Arg{ArgPtrToCtx, ArgPtrToMem, ArgConstSize}},
	)
}

// copySysctl gives the text's length, without its NUL: E2BIG where it does not
// fit.
func copySysctl(to []byte, text string) uint64 {
	switch {
	case len(to) == 0:
		return errno.E2BIG.Ret()
	case text == "":
		clear(to)
		return errno.EINVAL.Ret()
	}
	n := copy(to, text)
	if n == len(to) {
		to[n-1] = 0
		return errno.E2BIG.Ret()
	}
	clear(to[n:])
	return uint64(n)
}

func sysctl(s *exec.State) *exec.Sysctl {
	if s.Env.Sysctl == nil {
		return &exec.Sysctl{}
	}
	return s.Env.Sysctl
}

func sysctlName(s *exec.State, _, r2, r3, r4, _ uint64) uint64 {
	const baseName = 1
	name := strings.Trim(sysctl(s).Name, "/")
	if r4&baseName != 0 {
		name = path.Base(name)
	}
	return copySysctl(view(r2, uint64(uint32(r3))), name)
}

// sysctlCurrent gives the value as a process reads it, which is a line.
func sysctlCurrent(s *exec.State, _, r2, r3, _, _ uint64) uint64 {
	value := sysctl(s).Value
	if value != "" && !strings.HasSuffix(value, "\n") {
		value += "\n"
	}
	return copySysctl(view(r2, uint64(uint32(r3))), value)
}

// sysctlWrites reports whether the context is of a write.
func sysctlWrites(s *exec.State) bool { return le.Uint32(progtype.Seen(s)) != 0 }

func sysctlNew(s *exec.State, _, r2, r3, _, _ uint64) uint64 {
	to := view(r2, uint64(uint32(r3)))
	if !sysctlWrites(s) {
		clear(to)
		return errno.EINVAL.Ret()
	}
	return copySysctl(to, sysctl(s).New)
}

// setSysctl notes that another value is to be written.
func setSysctl(s *exec.State, _, r2, r3, _, _ uint64) uint64 {
	const page = 4096
	value := view(r2, uint64(uint32(r3)))
	switch {
	case !sysctlWrites(s):
		return errno.EINVAL.Ret()
	case len(value) > page-1:
		return errno.E2BIG.Ret()
	}
	s.Effects = append(s.Effects, exec.Effect{What: "sysctl_set_new_value", Text: string(cString(value))})
	return 0
}
