package kernel

import (
	"fmt"
	"io"
	"runtime"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/verifier/kernels"
)

// linkCreateUprobes is what BPF_LINK_CREATE takes to attach to many places in a file: the
// part of union bpf_attr. cilium/ebpf makes such links, but none of sessions.
type linkCreateUprobes struct {
	prog, _       uint32
	attach, _     uint32
	path          *byte
	offsets       *uint64
	counters      *uint64
	cookies       *uint64
	count, _, pid uint32
	_             uint32
}

// haveUprobeSessions reports whether the kernel has what a point wants, if that is a session.
func haveUprobeSessions(at hook.Point) error {
	if at.Kind.Attach != hook.AttachTraceUprobeSession {
		return nil
	}
	if host, err := kernels.Host(); err == nil && host.Version() < kernels.V(6, 13) {
		return fmt.Errorf("%s: %w here, but since Linux 6.13: attach one program at uprobe.multi and one at uretprobe.multi", at, ebpf.ErrNotSupported)
	}
	return nil
}

// attachUprobeSession attaches a program that runs when functions begin and, if it gives
// 0 then, when they return.
func attachUprobeSession(prog *ebpf.Program, path string, pid int, places []uprobePlace) (io.Closer, error) {
	name, err := unix.BytePtrFromString(path)
	if err != nil {
		return nil, err
	}
	offsets, counters, cookies := columns(places)
	attr := &linkCreateUprobes{
		prog: uint32(prog.FD()), attach: uint32(hook.AttachTraceUprobeSession), path: name,
		offsets: &offsets[0], counters: &counters[0], cookies: &cookies[0], count: uint32(len(places)), pid: uint32(pid),
	}
	var pin runtime.Pinner
	for _, p := range []any{name, &offsets[0], &counters[0], &cookies[0]} {
		pin.Pin(p)
	}
	defer pin.Unpin()
	fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_LINK_CREATE, uintptr(unsafe.Pointer(attr)), unsafe.Sizeof(*attr))
	switch errno {
	case 0:
		return link.NewFromFD(int(fd))
	case unix.ESRCH:
		return nil, fmt.Errorf("there is no process %d", pid)
	}
	return nil, errno
}
