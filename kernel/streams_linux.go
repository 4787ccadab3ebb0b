package kernel

import (
	"fmt"
	"runtime"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// streamRead is what BPF_PROG_STREAM_READ_BY_FD takes: a part of union bpf_attr.
type streamRead struct {
	buf     *byte
	size    uint32
	stream  uint32
	program uint32
	_       uint32
}

// cmdStreamRead is BPF_PROG_STREAM_READ_BY_FD.
const cmdStreamRead = 37

// readStream takes out of a program's stream what fits into buf, and gives how much that
// is.
func readStream(program, stream int, buf []byte) (int, error) {
	attr := &streamRead{buf: &buf[0], size: uint32(len(buf)), stream: uint32(stream), program: uint32(program)}
	var pin runtime.Pinner
	pin.Pin(attr.buf)
	defer pin.Unpin()
	n, _, errno := unix.Syscall(unix.SYS_BPF, cmdStreamRead, uintptr(unsafe.Pointer(attr)), unsafe.Sizeof(*attr))
	switch errno {
	case 0:
		return int(n), nil
	case unix.EINVAL:
		return 0, fmt.Errorf("read a program's %s: %w", streamNames[stream], ebpf.ErrNotSupported)
	}
	return 0, fmt.Errorf("read a program's %s: %w", streamNames[stream], errno)
}
