package kernel

import (
	"fmt"
	"io"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/hook"
)

func init() { families["socket"] = planSocket }

// planSocket makes a packet socket on an interface, which the program filters. Nobody
// reads the socket: the program sees the packets, and no one else.
func planSocket(_ *Collection, prog *ebpf.Program, at hook.Point) (func() (io.Closer, error), error) {
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

// socket is a file descriptor.
type socket int

func (s socket) Close() error { return unix.Close(int(s)) }
