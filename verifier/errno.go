package verifier

import (
	"strings"

	"github.com/skep-ebpf/skep/internal/errno"
)

// errnos are the error numbers for refusals by their causes; EINVAL for all others.
var errnos = map[Cause]errno.Errno{
	CauseTooComplex:        errno.E2BIG,
	CauseTooLarge:          errno.E2BIG,
	CauseStackDepth:        errno.EACCES,
	CauseUninitRegister:    errno.EACCES,
	CauseUninitStack:       errno.EACCES,
	CauseMaybeNull:         errno.EACCES,
	CauseNotPointer:        errno.EACCES,
	CausePointerArithmetic: errno.EACCES,
	CausePointerLeak:       errno.EACCES,
	CauseBounds:            errno.EACCES,
	CausePacketBounds:      errno.EACCES,
	CauseUnboundedOffset:   errno.EACCES,
	CauseStackBounds:       errno.EACCES,
	CauseAlignment:         errno.EACCES,
	CauseReadOnly:          errno.EACCES,
	CauseContext:           errno.EACCES,
	CauseKfunc:             errno.EACCES,
	CauseBTF:               errno.EACCES,
	CausePrivilege:         errno.EPERM,
}

// otherErrnos are those for refusals whose words tell them from others of their cause.
var otherErrnos = []struct {
	words string
	errno errno.Errno
}{
	{"BPF_ATOMIC ", errno.EACCES},
	{"frame pointer is read only", errno.EACCES},
	{" type=", errno.EACCES},
	{"helper access to the packet is not allowed", errno.EACCES},
	{"kptr access", errno.EACCES},
	{"point to kptr", errno.EACCES},
	{"referenced kptr", errno.EACCES},
	{"cannot be accessed", errno.EACCES},
	{"store to uptr", errno.EACCES},
	{"from insn_array", errno.EACCES},
	{"restore irq state", errno.EACCES},
	{"kernel func ", errno.EACCES},
	{"Unsupported reg type", errno.EACCES},
	{"potential write to dynptr", errno.EACCES},
	{"math between ", errno.EINVAL},
	{"pointer offset ", errno.EINVAL},
	{"pointer be out of bounds", errno.EINVAL},
	{"cannot be used in tracing programs", errno.EINVAL},
}

// Errno is what bpf() gives for the refusal. Linux has no rule for it, and the few
// that do not follow what is here differ from version to version.
func (e *Error) Errno() errno.Errno {
	for _, o := range otherErrnos {
		if strings.Contains(e.Kernel, o.words) {
			return o.errno
		}
	}
	if no, ok := errnos[e.Cause]; ok {
		return no
	}
	return errno.EINVAL
}
