package helper

import (
	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/maps"
)

func init() {
	register(
		&Helper{ID: 27, Name: "bpf_get_stackid", Func: getStackID, Asks: asksTasks,
			Args: []Arg{ArgPtrToCtx, ArgConstMapPtr, ArgAnything}},
		&Helper{ID: 67, Name: "bpf_get_stack", Func: getStack, Asks: asksTasks,
			Args: []Arg{ArgPtrToCtx, ArgPtrToUninitMem, ArgConstSizeOrZero, ArgAnything}},
		&Helper{ID: 141, Name: "bpf_get_task_stack", Func: getTaskStack, Asks: asksTasks,
			Args: []Arg{ArgPtrToBTF, ArgPtrToUninitMem, ArgConstSizeOrZero, ArgAnything}},
	)
}

// framesOf is the stack that flags ask for, without the frames that they skip.
func framesOf(t *exec.Task, flags uint64) []uint64 {
	if t == nil {
		return nil
	}
	frames := t.KernelStack
	if flags&maps.StackUser != 0 {
		frames = t.UserStack
	}
	return frames[min(int(flags&maps.StackSkip), len(frames)):]
}

func getStackID(s *exec.State, _, r2, r3, _, _ uint64) uint64 {
	m, ok := mapOf(r2).(*maps.StackTrace)
	if !ok || r3&^(maps.StackSkip|maps.StackUser|maps.StackFastCompare|maps.StackReuse) != 0 {
		return errno.EINVAL.Ret()
	}
	frames := framesOf(current(s), r3)
	if len(frames) == 0 {
		return errno.EFAULT.Ret()
	}
	id, err := m.Put(frames, r3)
	if err != nil {
		return status(err)
	}
	return uint64(id)
}

func getStack(s *exec.State, _, r2, r3, r4, _ uint64) uint64 {
	return writeStack(current(s), view(r2, uint64(uint32(r3))), r4)
}

func getTaskStack(s *exec.State, r1, r2, r3, r4, _ uint64) uint64 {
	return writeStack(taskAt(s, r1), view(r2, uint64(uint32(r3))), r4)
}

// writeStack writes as many frames as there is room for, innermost first, and
// gives their bytes. The rest of the room becomes zeros. There are no files to
// take build ids from.
func writeStack(t *exec.Task, to []byte, flags uint64) uint64 {
	const frameSize = 8
	if flags&^(maps.StackSkip|maps.StackUser) != 0 || len(to)%frameSize != 0 {
		clear(to)
		return errno.EINVAL.Ret()
	}
	frames := framesOf(t, flags)
	if t == nil || len(frames) == 0 {
		clear(to)
		return errno.EFAULT.Ret()
	}
	n := 0
	for ; n < min(len(frames), len(to)/frameSize); n++ {
		le.PutUint64(to[n*frameSize:], frames[n])
	}
	clear(to[n*frameSize:])
	return uint64(n * frameSize)
}
