package kernel

import (
	"fmt"
	"io"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/internal/suggest"
)

func init() {
	families["socket"] = planSocket
	for _, kind := range []string{"sk_msg", "sk_skb/stream_parser", "sk_skb/stream_verdict", "sk_skb/verdict"} {
		families[kind] = planSockmap
	}
}

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

// planSockmap attaches to a map of sockets of the same object.
func planSockmap(c *Collection, prog *ebpf.Program, at hook.Point) (func() (io.Closer, error), error) {
	m := c.Maps[at.Target]
	if m == nil {
		return nil, fmt.Errorf("the object has no map %s%s", at.Target, suggest.Name(at.Target, c.mapNames()))
	}
	if !slices.Contains([]ebpf.MapType{ebpf.SockMap, ebpf.SockHash}, m.Type()) {
		return nil, fmt.Errorf("map %s is a %s, and holds no sockets: want %s", at.Target, m.Type(), at.Kind.Wants)
	}
	return func() (io.Closer, error) {
		err := link.RawAttachProgram(link.RawAttachProgramOptions{Target: m.FD(), Program: prog, Attach: at.Kind.Attach})
		if err != nil {
			return nil, err
		}
		return &mapProgram{m, prog, at.Kind.Attach}, nil
	}, nil
}

// mapProgram is a program that is attached to a map without a link.
type mapProgram struct {
	m      *ebpf.Map
	prog   *ebpf.Program
	attach ebpf.AttachType
}

func (p *mapProgram) Close() error {
	return link.RawDetachProgram(link.RawDetachProgramOptions{Target: p.m.FD(), Program: p.prog, Attach: p.attach})
}
