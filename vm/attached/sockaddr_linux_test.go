package attached

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/vm/progtype"
	"github.com/skep-ebpf/skep/vm/world"
)

// Addresses of the test's own network: one by which a process reaches itself, another
// one, and which a socket has that is not bound.
type places struct{ own, other, any netip.Addr }

var families = map[int]places{
	unix.AF_INET: {netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2"), netip.IPv4Unspecified()},
	// There is but one in IPv6.
	unix.AF_INET6: {netip.IPv6Loopback(), netip.IPv6Loopback(), netip.IPv6Unspecified()},
}

// Ports of the test's own network.
const ownPort, peerPort, otherPort = 4711, 4712, 4713

// A happening is a system call with an address that programs of a cgroup see.
type happening struct {
	user   netip.AddrPort // the address, as the program sees it
	socket *world.Socket
	// do makes the call, and gives the address that came of it: where it went, or what
	// the process is told.
	do func() (netip.AddrPort, error)
}

// bound gives a socket that is bound to an address.
func bound(t *testing.T, at netip.AddrPort, typ int) (fd int, s *world.Socket) {
	t.Helper()
	fd, s = newSocket(t, at.Addr(), typ)
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, sockaddr(at)); err != nil {
		t.Fatal(err)
	}
	s.Local = at
	return fd, s
}

// hasCome waits a moment for something to come to a socket: what is sent over loopback may
// be another thread of the kernel's to deliver.
func hasCome(fd int) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	_, _ = unix.Poll(fds, 200)
	return fds[0].Revents&unix.POLLIN != 0
}

// received gives the sender of a datagram that has come.
func received(fd int) (from unix.Sockaddr, err error) {
	hasCome(fd)
	_, from, err = unix.Recvfrom(fd, make([]byte, 16), unix.MSG_DONTWAIT)
	return from, err
}

// connected gives a socket that has a peer.
func connected(t *testing.T, p places) (fd int, s *world.Socket) {
	t.Helper()
	fd, s = bound(t, netip.AddrPortFrom(p.own, ownPort), unix.SOCK_DGRAM)
	s.Remote, s.State = netip.AddrPortFrom(p.own, peerPort), "established"
	if err := unix.Connect(fd, sockaddr(s.Remote)); err != nil {
		t.Fatal(err)
	}
	return fd, s
}

func bindTo(typ int) func(*testing.T, places) *happening {
	return func(t *testing.T, p places) *happening {
		fd, s := newSocket(t, p.any, typ)
		user := netip.AddrPortFrom(p.own, ownPort)
		return &happening{user, s, func() (netip.AddrPort, error) {
			if err := unix.Bind(fd, sockaddr(user)); err != nil {
				return netip.AddrPort{}, err
			}
			return local(t, fd), nil
		}}
	}
}

func connectTo(typ int) func(*testing.T, places) *happening {
	return func(t *testing.T, p places) *happening {
		for _, a := range []netip.AddrPort{netip.AddrPortFrom(p.own, peerPort), netip.AddrPortFrom(p.other, otherPort)} {
			if fd, _ := bound(t, a, typ); typ == unix.SOCK_STREAM {
				if err := unix.Listen(fd, 1); err != nil {
					t.Fatal(err)
				}
			}
		}
		fd, s := newSocket(t, p.any, typ)
		user := netip.AddrPortFrom(p.own, peerPort)
		return &happening{user, s, func() (netip.AddrPort, error) {
			if err := unix.Connect(fd, sockaddr(user)); err != nil {
				return netip.AddrPort{}, err
			}
			a, err := unix.Getpeername(fd)
			return addrPort(a), err
		}}
	}
}

// sendTo sends a datagram, and finds out which of two sockets has it.
func sendTo(t *testing.T, p places) *happening {
	peers := map[netip.AddrPort]int{netip.AddrPortFrom(p.own, peerPort): 0, netip.AddrPortFrom(p.other, otherPort): 0}
	for a := range peers {
		peers[a], _ = bound(t, a, unix.SOCK_DGRAM)
	}
	fd, s := bound(t, netip.AddrPortFrom(p.own, ownPort), unix.SOCK_DGRAM)
	user := netip.AddrPortFrom(p.own, peerPort)
	return &happening{user, s, func() (netip.AddrPort, error) {
		if err := unix.Sendto(fd, []byte("hello"), 0, sockaddr(user)); err != nil {
			return netip.AddrPort{}, err
		}
		for a, peer := range peers {
			if _, err := received(peer); err == nil {
				return a, nil
			}
		}
		return netip.AddrPort{}, errors.New("nobody has the datagram")
	}}
}

// receiveFrom receives a datagram, and gives whom it is said to be from.
func receiveFrom(t *testing.T, p places) *happening {
	fd, s := bound(t, netip.AddrPortFrom(p.own, ownPort), unix.SOCK_DGRAM)
	peer, _ := bound(t, netip.AddrPortFrom(p.own, peerPort), unix.SOCK_DGRAM)
	if err := unix.Sendto(peer, []byte("hello"), 0, sockaddr(s.Local)); err != nil {
		t.Fatal(err)
	}
	return &happening{netip.AddrPortFrom(p.own, peerPort), s, func() (netip.AddrPort, error) {
		a, err := received(fd)
		return addrPort(a), err
	}}
}

func nameOf(get func(fd int) (unix.Sockaddr, error), of func(*world.Socket) netip.AddrPort) func(*testing.T, places) *happening {
	return func(t *testing.T, p places) *happening {
		fd, s := connected(t, p)
		return &happening{of(s), s, func() (netip.AddrPort, error) {
			a, err := get(fd)
			return addrPort(a), err
		}}
	}
}

var (
	peername = nameOf(unix.Getpeername, func(s *world.Socket) netip.AddrPort { return s.Remote })
	sockname = nameOf(unix.Getsockname, func(s *world.Socket) netip.AddrPort { return s.Local })
)

// addressings are the system calls with addresses.
var addressings = []struct {
	name    string
	attach  ebpf.AttachType
	family  int
	prepare func(*testing.T, places) *happening
}{
	{"bind4/tcp", ebpf.AttachCGroupInet4Bind, unix.AF_INET, bindTo(unix.SOCK_STREAM)},
	{"bind6/udp", ebpf.AttachCGroupInet6Bind, unix.AF_INET6, bindTo(unix.SOCK_DGRAM)},
	{"connect4/tcp", ebpf.AttachCGroupInet4Connect, unix.AF_INET, connectTo(unix.SOCK_STREAM)},
	{"connect4/udp", ebpf.AttachCGroupInet4Connect, unix.AF_INET, connectTo(unix.SOCK_DGRAM)},
	{"connect6/tcp", ebpf.AttachCGroupInet6Connect, unix.AF_INET6, connectTo(unix.SOCK_STREAM)},
	{"connect6/udp", ebpf.AttachCGroupInet6Connect, unix.AF_INET6, connectTo(unix.SOCK_DGRAM)},
	{"sendmsg4", ebpf.AttachCGroupUDP4Sendmsg, unix.AF_INET, sendTo},
	{"sendmsg6", ebpf.AttachCGroupUDP6Sendmsg, unix.AF_INET6, sendTo},
	{"recvmsg4", ebpf.AttachCGroupUDP4Recvmsg, unix.AF_INET, receiveFrom},
	{"recvmsg6", ebpf.AttachCGroupUDP6Recvmsg, unix.AF_INET6, receiveFrom},
	{"getpeername4", ebpf.AttachCgroupInet4GetPeername, unix.AF_INET, peername},
	{"getpeername6", ebpf.AttachCgroupInet6GetPeername, unix.AF_INET6, peername},
	{"getsockname4", ebpf.AttachCgroupInet4GetSockname, unix.AF_INET, sockname},
	{"getsockname6", ebpf.AttachCgroupInet6GetSockname, unix.AF_INET6, sockname},
}

// TestSocketAddresses holds what programs see of system calls with addresses, and what
// becomes of these where a program changes the address or refuses the call.
func TestSocketAddresses(t *testing.T) {
	g := ownGroup(t)
	for _, c := range addressings {
		p := families[c.family]
		other := netip.AddrPortFrom(p.other, otherPort)
		for name, w := range map[string]watcher{
			"seen":      {returns: 1, asks: currentAsks},
			"changed":   {returns: 1, stores: elsewhere(other)},
			"refused":   {returns: 0},
			"privilege": {returns: 3}, // of bind: even to a port of the privileged
		} {
			w.prog, w.attach = ebpf.CGroupSockAddr, c.attach
			if r := w.typ(t).Returns; int64(w.returns) < r.Min || int64(w.returns) > r.Max {
				continue
			}
			t.Run(c.name+"/"+name, func(t *testing.T) {
				network(t)
				h := c.prepare(t, p)
				var to netip.AddrPort
				var err error
				linux := w.inLinux(t, g.attach(c.attach), func() { to, err = h.do() })
				if len(linux) != 1 {
					t.Fatalf("the program ran %d times", len(linux))
				}
				linux[0].holds(t, map[string]uint64{"user_port": networkOrder(h.user.Port()), "family": uint64(c.family)})
				machine, out := w.inMachine(t, &event{fields: h.fields(w.typ(t)), world: g.world(h.socket)})
				same(t, linux[0], machine, h.unknown()...)

				wanted, refused := h.user, error(nil)
				switch {
				case w.returns == 0:
					wanted, refused = netip.AddrPort{}, unix.EPERM
				case w.stores != nil:
					wanted = other
				}
				if got := seenAddress(out.Ctx, c.family); to != wanted || !errors.Is(err, refused) || refused == nil && got != wanted {
					t.Errorf("Linux gives %v, %v, the machine %v, want %v", to, err, got, wanted)
				}
			})
		}
	}
}

// fields are those of the context that describe the call.
func (h *happening) fields(typ *progtype.Type) map[string]any {
	all := map[string]any{"user_port": h.user.Port(), "user_family": unix.AF_INET, "type": unix.SOCK_DGRAM, "protocol": unix.IPPROTO_UDP}
	ip := "ip4"
	if !h.user.Addr().Is4() {
		ip, all["user_family"] = "ip6", unix.AF_INET6
	}
	all["user_"+ip], all["family"] = h.user.Addr().String(), all["user_family"]
	if h.socket.Proto == "tcp" {
		all["type"], all["protocol"] = unix.SOCK_STREAM, unix.IPPROTO_TCP
	}
	if slices.ContainsFunc(typ.Fields, func(f progtype.Field) bool { return strings.HasPrefix(f.Name, "msg_src_") }) {
		all["msg_src_"+ip] = h.socket.Local.Addr().String()
	}
	return all
}

// unknown are words of which the running kernel does not tell the process.
func (h *happening) unknown() []string {
	if h.socket.NetNS == 0 {
		return []string{"netns"}
	}
	return nil
}

// elsewhere are stores of another address.
func elsewhere(a netip.AddrPort) []store {
	all := []store{{"user_port", int64(networkOrder(a.Port()))}}
	if a.Addr().Is4() {
		return append(all, store{"user_ip4", int64(number(a.Addr()))})
	}
	b := a.Addr().As16()
	for i := range 4 {
		all = append(all, store{"user_ip6[" + string(rune('0'+i)) + "]", int64(binary.LittleEndian.Uint32(b[4*i:]))})
	}
	return all
}

// seenAddress is the address in a context that a program left.
func seenAddress(ctx []byte, family int) netip.AddrPort {
	ip := netip.AddrFrom4([4]byte(ctx[4:]))
	if family == unix.AF_INET6 {
		ip = netip.AddrFrom16([16]byte(ctx[8:]))
	}
	return netip.AddrPortFrom(ip, binary.BigEndian.Uint16(ctx[24:]))
}
