package kernel

import (
	"fmt"
	"io"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/hook/timer"
)

func init() {
	families["syscall"] = planRun
	families["timer"] = planTimer
}

// maxSyscallContext is how much context programs of type syscall find, all of it 0. None
// may look further than Linux tells them to (U16_MAX), and few look so far.
const maxSyscallContext = 4096

// runSyscall runs a program of type syscall from user space. A negative result is an error
// number.
func runSyscall(prog *ebpf.Program) error {
	result, err := prog.Run(&ebpf.RunOptions{Context: make([]byte, maxSyscallContext)})
	if err != nil {
		return err
	}
	if n := int32(result); n < 0 {
		return fmt.Errorf("it returned %d (%w)", n, unix.Errno(-n))
	}
	return nil
}

// planRun runs a program once, in place of attaching it.
func planRun(_ *Collection, prog *ebpf.Program, at hook.Point) (func() (io.Closer, error), error) {
	if at.Target != "" {
		return nil, fmt.Errorf("%s: such a program runs once and is attached nowhere: leave %s away, or have it run every so often with timer/1s", at, at.Target)
	}
	return func() (io.Closer, error) { return closers{}, runSyscall(prog) }, nil
}

// planTimer runs a program every so often, from user space.
func planTimer(_ *Collection, prog *ebpf.Program, at hook.Point) (func() (io.Closer, error), error) {
	period, err := timer.Period(at)
	if err != nil {
		return nil, err
	}
	return func() (io.Closer, error) {
		return timer.Start(period, func() error { return runSyscall(prog) }), nil
	}, nil
}
