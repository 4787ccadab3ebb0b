package helper

import (
	"encoding/binary"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/maps"
)

func init() {
	register(
		&Helper{ID: 27, Name: "bpf_get_stackid", Func: stackID, Args: []Arg{ArgPtrToCtx, ArgConstMapPtr, ArgAnything}},
		&Helper{ID: 67, Name: "bpf_get_stack", Func: stack,
			Args: []Arg{ArgPtrToCtx, ArgPtrToUninitMem, ArgConstSizeOrZero, ArgAnything}},
	)
}

// framesOf is the stack of the current task that flags ask for, without the
// frames that they leave out.
func framesOf(s *exec.State, flags uint64) ([]uint64, error) {
	if s.Env.Tasks == nil {
		return nil, errno.EFAULT
	}
	t := s.Env.Tasks.Current()
	if t == nil {
		return nil, errno.EFAULT
	}
	frames := t.KernelStack
	if flags&maps.StackUser != 0 {
		frames = t.UserStack
	}
	skip := int(flags & maps.StackSkip)
	if len(frames) <= skip {
		return nil, errno.EFAULT
	}
	return frames[skip:], nil
}

func stackID(s *exec.State, _, r2, r3, _, _ uint64) uint64 {
	const known = maps.StackSkip | maps.StackUser | maps.StackFastCompare | maps.StackReuse
	m, ok := mapOf(r2).(*maps.StackTrace)
	if !ok || r3&^known != 0 {
		return errno.EINVAL.Ret()
	}
	frames, err := framesOf(s, r3)
	if err != nil {
		return status(err)
	}
	id, err := m.Put(frames, r3)
	if err != nil {
		return status(err)
	}
	return uint64(id)
}

// stack writes a stack's frames and gives how many bytes they take. There are no
// files that an address could be told by (BPF_F_USER_BUILD_ID).
func stack(s *exec.State, _, r2, r3, r4, _ uint64) uint64 {
	const known = maps.StackSkip | maps.StackUser
	buf := view(r2, uint64(uint32(r3)))
	clear(buf)
	if r4&^known != 0 || len(buf)%8 != 0 {
		return errno.EINVAL.Ret()
	}
	frames, err := framesOf(s, r4)
	if err != nil {
		return status(err)
	}
	n := min(len(frames), len(buf)/8)
	for i, f := range frames[:n] {
		binary.NativeEndian.PutUint64(buf[i*8:], f)
	}
	return uint64(n * 8)
}
