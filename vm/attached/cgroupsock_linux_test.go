package attached

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/vm/world"
)

// TestSockets holds what programs see of sockets that are made, bound and closed, and
// what becomes of those that they change or refuse.
func TestSockets(t *testing.T) {
	g := ownGroup(t)
	for _, c := range []struct {
		name   string
		attach ebpf.AttachType
		family int
		typ    int
		w      watcher
	}{
		{"sock_create/tcp", ebpf.AttachCGroupInetSockCreate, unix.AF_INET, unix.SOCK_STREAM, watcher{returns: 1, asks: currentAsks}},
		{"sock_create/udp6", ebpf.AttachCGroupInetSockCreate, unix.AF_INET6, unix.SOCK_DGRAM, watcher{returns: 1, asks: currentAsks}},
		{"sock_create/changed", ebpf.AttachCGroupInetSockCreate, unix.AF_INET, unix.SOCK_STREAM, watcher{returns: 1,
			stores: []store{{"mark", 0x1234}, {"priority", 5}, {"bound_dev_if", loopback}}}},
		{"sock_create/refused", ebpf.AttachCGroupInetSockCreate, unix.AF_INET, unix.SOCK_STREAM, watcher{returns: 0}},
		{"sock_release/tcp", ebpf.AttachCgroupInetSockRelease, unix.AF_INET, unix.SOCK_STREAM, watcher{returns: 1, asks: currentAsks}},
		{"post_bind4/tcp", ebpf.AttachCGroupInet4PostBind, unix.AF_INET, unix.SOCK_STREAM, watcher{returns: 1, asks: currentAsks}},
		{"post_bind4/refused", ebpf.AttachCGroupInet4PostBind, unix.AF_INET, unix.SOCK_STREAM, watcher{returns: 0}},
		{"post_bind6/udp", ebpf.AttachCGroupInet6PostBind, unix.AF_INET6, unix.SOCK_DGRAM, watcher{returns: 1, asks: currentAsks}},
	} {
		t.Run(c.name, func(t *testing.T) {
			network(t)
			p, w := families[c.family], c.w
			w.prog, w.attach = ebpf.CGroupSock, c.attach
			var fd int
			s := &world.Socket{Proto: "udp", State: "close", Local: netip.AddrPortFrom(p.any, 0)}
			if c.typ == unix.SOCK_STREAM {
				s.Proto = "tcp"
			}
			var do func() error
			switch c.attach {
			case ebpf.AttachCGroupInetSockCreate:
				do = func() (err error) {
					if fd, err = unix.Socket(c.family, c.typ, 0); err != nil {
						return err
					}
					t.Cleanup(func() { unix.Close(fd) })
					if s.Cookie, err = unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_COOKIE); err != nil {
						return err
					}
					if cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE); err == nil {
						s.NetNS = cookie
					}
					return nil
				}
			case ebpf.AttachCgroupInetSockRelease:
				fd, s = bound(t, netip.AddrPortFrom(p.own, ownPort), c.typ)
				do = func() error { return unix.Close(fd) }
			default:
				fd, s = newSocket(t, p.any, c.typ)
				at := netip.AddrPortFrom(p.own, ownPort)
				do = func() error { s.Local = at; return unix.Bind(fd, sockaddr(at)) }
			}
			var err error
			linux := w.inLinux(t, g.attach(c.attach), func() { err = do() })
			if len(linux) != 1 {
				t.Fatalf("the program ran %d times", len(linux))
			}
			if refused := w.returns == 0; errors.Is(err, unix.EPERM) != refused || (err != nil) != refused {
				t.Errorf("returns %d, and Linux gives %v", w.returns, err)
			}
			linux[0].holds(t, map[string]uint64{"family": uint64(c.family), "type": uint64(c.typ)})
			machine, out := w.inMachine(t, &event{world: g.world(s)})
			but := []string{}
			if s.NetNS == 0 {
				but = append(but, "netns")
			}
			same(t, linux[0], machine, but...)
			for _, o := range w.stores {
				f := fieldOf(t, w.typ(t), o.field)
				name := map[string]int{"mark": unix.SO_MARK, "priority": unix.SO_PRIORITY, "bound_dev_if": unix.SO_BINDTOIFINDEX}[o.field]
				got, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, name)
				if left := binary.NativeEndian.Uint32(out.Ctx[f.Off:]); err != nil || int64(got) != o.value || int64(left) != o.value {
					t.Errorf("%s is %d, %v in Linux, %d in the machine, want %d", o.field, got, err, left, o.value)
				}
			}
		})
	}
}
