package program

import (
	"fmt"

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

// hostVersion is LINUX_KERNEL_VERSION of the running kernel.
func hostVersion() uint32 {
	var major, minor, patch uint32
	if n, _ := fmt.Sscanf(hostRelease(), "%d.%d.%d", &major, &minor, &patch); n < 2 {
		return otherVersion
	}
	return major<<16 | minor<<8 | min(patch, 255)
}
