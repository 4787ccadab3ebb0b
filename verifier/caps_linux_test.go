package verifier_test

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/verifier"
	"github.com/skep-ebpf/skep/verifier/kernels"
)

// TestAgainstKernelWithoutPerfmon does so as a loader that must not see addresses and
// whose programs are guarded against speculation.
func TestAgainstKernelWithoutPerfmon(t *testing.T) {
	testenv.Kernel(t)
	opts := &verifier.Options{Kernel: runningKernel(t), Lacks: kernels.CapPerfmon | kernels.CapSysAdmin}
	t.Run("locked", func(t *testing.T) {
		runtime.LockOSThread() // and never unlocked: the thread ends with the test
		keepCaps(t, unix.CAP_BPF, unix.CAP_NET_ADMIN)
		againstKernel(t, edgePrograms(t)/3, opts)
	})
}

// keepCaps gives up all other capabilities of the running thread.
func keepCaps(t *testing.T, caps ...int) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	for _, c := range caps {
		data[c/32].Effective |= 1 << (c % 32)
		data[c/32].Permitted |= 1 << (c % 32)
	}
	if err := unix.Capset(&header, &data[0]); err != nil {
		t.Skipf("capabilities cannot be given up: %v", err)
	}
}
