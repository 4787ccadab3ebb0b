package kernel

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/hook"
)

func init() {
	families["socket"] = planSocket
	families["sk_reuseport"], families["sk_reuseport/migrate"] = planReuseport, planReuseport
}

// planSocket filters what a socket of a process receives, PID:FD, or makes a packet socket
// on an interface, which the program filters. Nobody reads that: the program sees the
// packets, and no one else.
func planSocket(_ *Collection, prog *ebpf.Program, at hook.Point) (func() (io.Closer, error), error) {
	if of, ok := parseSocket(at.Target); ok {
		return of.plan(prog, at, filtering)
	}
	i, err := interfaceNamed(at.Target)
	if err != nil {
		return nil, err
	}
	return func() (io.Closer, error) {
		const everything = unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8 // in network order
		// Protocol 0 receives nothing before the filter is there.
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("packet socket: %w", err)
		}
		s := socket(fd)
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ATTACH_BPF, prog.FD()); err != nil {
			s.Close()
			return nil, err
		}
		if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: everything & 0xffff, Ifindex: i.Index}); err != nil {
			s.Close()
			return nil, fmt.Errorf("bind packet socket: %w", err)
		}
		return s, nil
	}, nil
}

// planReuseport has a program choose among the sockets that share an address with one of a
// process, PID:FD. It takes the place of the one that they had.
func planReuseport(_ *Collection, prog *ebpf.Program, at hook.Point) (func() (io.Closer, error), error) {
	of, ok := parseSocket(at.Target)
	if !ok {
		return nil, fmt.Errorf("%s: want %s, such as %s", at, at.Kind.Wants, at.Kind.Example)
	}
	return of.plan(prog, at, choosing)
}

// socket is a file descriptor.
type socket int

func (s socket) Close() error { return unix.Close(int(s)) }

// A socketUse is what programs do for a socket: the options that attach and detach them, and
// what one returns that does nothing.
type socketUse struct {
	attach, detach int
	nothing        int32
}

var (
	filtering = socketUse{unix.SO_ATTACH_BPF, unix.SO_DETACH_FILTER, -1}                       // all bytes pass
	choosing  = socketUse{unix.SO_ATTACH_REUSEPORT_EBPF, unix.SO_DETACH_REUSEPORT_BPF, skPass} // Linux chooses
)

const skPass = 1

// processSocket is a socket of a process.
type processSocket struct{ pid, fd int }

func parseSocket(target string) (s processSocket, ok bool) {
	pid, fd, ok := strings.Cut(target, ":")
	if !ok {
		return s, false
	}
	var errs [2]error
	s.pid, errs[0] = strconv.Atoi(pid)
	s.fd, errs[1] = strconv.Atoi(fd)
	return s, errs == [2]error{}
}

func (s processSocket) plan(prog *ebpf.Program, at hook.Point, use socketUse) (func() (io.Closer, error), error) {
	open, err := s.open()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(s.check(open, use), open.Close()); err != nil {
		return nil, err
	}
	return func() (io.Closer, error) { return s.attach(prog, at, use) }, nil
}

// open gives a file descriptor of this process for the socket.
func (s processSocket) open() (socket, error) {
	pidfd, err := unix.PidfdOpen(s.pid, 0)
	if err != nil {
		return -1, fmt.Errorf("process %d: %w", s.pid, err)
	}
	defer unix.Close(pidfd)
	fd, err := unix.PidfdGetfd(pidfd, s.fd, 0)
	if err != nil {
		return -1, fmt.Errorf("file descriptor %d of process %d (ls -l /proc/%[2]d/fd shows them): %[3]w", s.fd, s.pid, err)
	}
	return socket(fd), nil
}

// check says why a program cannot be attached to what is open.
func (s processSocket) check(open socket, use socketUse) error {
	if _, err := unix.GetsockoptInt(int(open), unix.SOL_SOCKET, unix.SO_TYPE); err != nil {
		return fmt.Errorf("file descriptor %d of process %d is no socket", s.fd, s.pid)
	}
	if use == choosing {
		if on, err := unix.GetsockoptInt(int(open), unix.SOL_SOCKET, unix.SO_REUSEPORT); err != nil || on == 0 {
			return fmt.Errorf("the socket with file descriptor %d of process %d shares its address with no others: it lacks SO_REUSEPORT", s.fd, s.pid)
		}
	}
	return nil
}

// attach has a stand-in attached to the socket. Nothing holds the socket: it ends when its
// process closes it.
func (s processSocket) attach(prog *ebpf.Program, at hook.Point, use socketUse) (_ *standIn, err error) {
	open, err := s.open()
	if err != nil {
		return nil, err
	}
	defer open.Close()
	cookie, err := unix.GetsockoptUint64(int(open), unix.SOL_SOCKET, unix.SO_COOKIE)
	if err != nil {
		return nil, fmt.Errorf("socket's cookie: %w", err)
	}
	stand, err := newStandIn(prog, at.Kind.Attach, use.nothing)
	if err != nil {
		return nil, err
	}
	if err := unix.SetsockoptInt(int(open), unix.SOL_SOCKET, use.attach, stand.FD()); err != nil {
		return nil, errors.Join(err, stand.Close())
	}
	stand.detach = func() error { return s.detach(cookie, use) }
	return stand, nil
}

// detach detaches what was attached to the socket of this cookie, if it is still there.
func (s processSocket) detach(cookie uint64, use socketUse) error {
	open, err := s.open()
	if err != nil {
		return nil // gone, or not for this process any more: what stood in does nothing now
	}
	defer open.Close()
	if now, err := unix.GetsockoptUint64(int(open), unix.SOL_SOCKET, unix.SO_COOKIE); err != nil || now != cookie {
		return nil
	}
	return unix.SetsockoptInt(int(open), unix.SOL_SOCKET, use.detach, 0)
}
