package kernel

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"unsafe"

	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/hook/timer"
	"github.com/skep-ebpf/skep/verifier/kernels"
)

// DropCapabilities gives up all capabilities of this process for good, in all its threads,
// but for those that it takes to detach what is attached and to read maps. What the process
// executes from now on gets none back. In a program that is built with cgo it cannot.
func (c *Collection) DropCapabilities() error {
	keep := effective() & c.stillNeeded()
	if err := inAllThreads(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1); err != nil {
		return err
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3} // of pid 0: each thread itself
	data := [2]unix.CapUserData{
		{Effective: uint32(keep), Permitted: uint32(keep)},
		{Effective: uint32(keep >> 32), Permitted: uint32(keep >> 32)},
	}
	return inAllThreads(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data)))
}

// inAllThreads has each thread make a system call. Pointers are kept as for syscall.Syscall.
//
//go:uintptrescapes
func inAllThreads(call, a, b uintptr) error {
	_, _, errno := syscall.AllThreadsSyscall(call, a, b, 0)
	switch errno {
	case 0:
		return nil
	case unix.ENOTSUP:
		return errors.New("give up capabilities: threads that cgo made would keep theirs: build skep without it (CGO_ENABLED=0)")
	}
	return fmt.Errorf("give up capabilities: %w", errno)
}

// stillNeeded are the capabilities that it takes to detach, and to read maps.
func (c *Collection) stillNeeded() (caps kernels.Caps) {
	for _, l := range c.links {
		caps |= detachCaps(l.closer)
	}
	// Before 5.19 a process without CAP_BPF may call bpf() for nothing, not even to read
	// its own maps, where unprivileged loading is switched off.
	if host, err := kernels.Host(); err != nil || host.Version() < kernels.V(5, 19) {
		caps |= kernels.CapBPF
	}
	return caps
}

// detachCaps are the capabilities that it takes to be attached, and to end that. Whoever
// holds a link of the kernel's, or an event, may close it; what is attached otherwise is
// the network's.
func detachCaps(attached io.Closer) (caps kernels.Caps) {
	switch attached := attached.(type) {
	case closers:
		for _, one := range attached {
			caps |= detachCaps(one)
		}
		return caps
	case link.Link, *operations, *mapEntry, *os.File:
		return 0
	case *timer.Timer:
		return kernels.CapBPF // for its runs, which may themselves call bpf()
	}
	return kernels.CapNetAdmin
}
