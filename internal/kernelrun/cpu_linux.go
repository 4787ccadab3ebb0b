//go:build linux && (amd64 || arm64)

package kernelrun

import (
	"fmt"
	"runtime"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Pin keeps the calling goroutine on one CPU until release is called.
func Pin(cpu int) (release func() error, err error) {
	runtime.LockOSThread()
	var before, one unix.CPUSet
	one.Set(cpu)
	err = unix.SchedGetaffinity(0, &before)
	if err == nil {
		err = unix.SchedSetaffinity(0, &one)
	}
	if err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("stay on CPU %d: %w", cpu, err)
	}
	return func() error {
		defer runtime.UnlockOSThread()
		return unix.SchedSetaffinity(0, &before)
	}, nil
}

// PossibleCPUs is how many values a per-CPU map has for a key.
func PossibleCPUs() (int, error) { return ebpf.PossibleCPU() }
