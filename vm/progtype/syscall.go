package progtype

import (
	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/vm/exec"
)

func init() {
	register(&Type{
		Prog: ebpf.Syscall, Name: "syscall",
		CtxName: "plain memory",
		Setup:   setupSyscall,
		Finish:  finishSyscall,
	})
}

// setupSyscall gives the program the caller's bytes as its context. They are
// the machine's until the run ends.
func setupSyscall(s *exec.State, in *Input) error {
	if len(in.Data) != 0 {
		return refuse("syscall programs see no packet; pass the input as context")
	}
	if len(in.Ctx) > exec.MaxPlainCtx {
		return refuse("context has %d bytes; a syscall program takes at most %d", len(in.Ctx), exec.MaxPlainCtx)
	}
	s.Packet = exec.Packet{}
	copy(s.SetPlainCtx(len(in.Ctx)), in.Ctx)
	return nil
}

func finishSyscall(s *exec.State, out *Output) { copy(out.Ctx, s.PlainCtx()) }
