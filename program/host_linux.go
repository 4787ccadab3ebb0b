package program

import (
	"github.com/cilium/ebpf/features"
	"golang.org/x/sys/unix"
)

// hostRelease is the running kernel's release ("6.12.9-amd64"), or "".
func hostRelease() string {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return ""
	}
	return unix.ByteSliceToString(uts.Release[:])
}

// hostVersion is LINUX_KERNEL_VERSION of the running kernel. Its release does not always
// tell: Debian's ends with a number of its own.
func hostVersion() uint32 {
	version, err := features.LinuxVersionCode()
	if err != nil {
		return otherVersion
	}
	return version
}
