package kernel

import (
	"errors"
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
	for _, kind := range []string{"sk_msg", "sk_skb/stream_parser", "sk_skb/stream_verdict", "sk_skb/verdict"} {
		families[kind] = planSockmap
	}
}

// planSockmap attaches to a map of sockets of the same object. It ends with the map at the
// latest.
func planSockmap(c *Collection, prog *ebpf.Program, at hook.Point) (func() (io.Closer, error), error) {
	m := c.Maps[at.Target]
	if m == nil {
		return nil, fmt.Errorf("the object has no map %s%s", at.Target, suggest.Name(at.Target, c.mapNames()))
	}
	if !slices.Contains([]ebpf.MapType{ebpf.SockMap, ebpf.SockHash}, m.Type()) {
		return nil, fmt.Errorf("map %s is a %s, and holds no sockets: want %s", at.Target, m.Type(), at.Kind.Wants)
	}
	return func() (io.Closer, error) {
		l, err := link.AttachRawLink(link.RawLinkOptions{Target: m.FD(), Program: prog, Attach: at.Kind.Attach})
		if err == nil {
			return l, nil
		}
		if !errors.Is(err, unix.EINVAL) {
			return nil, err
		}
		// Linux makes no links there before 6.10.
		if err := link.RawAttachProgram(link.RawAttachProgramOptions{Target: m.FD(), Program: prog, Attach: at.Kind.Attach}); err != nil {
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
