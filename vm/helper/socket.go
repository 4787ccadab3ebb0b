package helper

import (
	"encoding/binary"
	"math"
	"net/netip"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// Sockets are the environment's. Without any, every search for one ends in NULL,
// as it may in Linux, and what a program does with one is not reached.

const asksSockets = "sockets"

func init() {
	lookup := []Arg{ArgPtrToCtx, ArgPtrToMem, ArgConstSize, ArgAnything, ArgAnything}
	socket := []Arg{ArgPtrToSocket}
	register(
		&Helper{ID: 84, Name: "bpf_sk_lookup_tcp", Func: skLookup(exec.ProtoTCP, true), Args: lookup, Ret: RetPtrToMemOrNull, Asks: asksSockets},
		&Helper{ID: 85, Name: "bpf_sk_lookup_udp", Func: skLookup(exec.ProtoUDP, true), Args: lookup, Ret: RetPtrToMemOrNull, Asks: asksSockets},
		&Helper{ID: 99, Name: "bpf_skc_lookup_tcp", Func: skLookup(exec.ProtoTCP, false), Args: lookup, Ret: RetPtrToMemOrNull, Asks: asksSockets},
		&Helper{ID: 86, Name: "bpf_sk_release", Func: skRelease, Args: []Arg{ArgPtrToOwnedSocket}, Asks: asksSockets},
		&Helper{ID: 95, Name: "bpf_sk_fullsock", Func: skFullsock, Args: []Arg{ArgPtrToSocketOrNull}, Ret: RetPtrToMemOrNull, Asks: asksSockets},
		&Helper{ID: 96, Name: "bpf_tcp_sock", Func: tcpSock, Args: socket, Ret: RetPtrToMemOrNull, Asks: asksSockets},
		&Helper{ID: 98, Name: "bpf_get_listener_sock", Func: listenerSock, Args: socket, Ret: RetPtrToMemOrNull, Asks: asksSockets},
		&Helper{ID: 124, Name: "bpf_sk_assign", Func: skAssign, Asks: asksSockets,
			Args: []Arg{ArgPtrToCtx, ArgPtrToSocketOrNull, ArgAnything}},

		&Helper{ID: 46, Name: "bpf_get_socket_cookie", Func: socketCookie, Args: []Arg{ArgAnything}, Asks: asksSockets},
		&Helper{ID: 47, Name: "bpf_get_socket_uid", Func: socketUID, Args: []Arg{ArgPtrToCtx}, Asks: asksSockets},
		&Helper{ID: 122, Name: "bpf_get_netns_cookie", Func: netnsCookie, Args: []Arg{ArgAnything}, Asks: asksSockets},
	)
	for _, c := range []struct {
		id   uint32
		name string
		is   func(*exec.Socket) bool
	}{
		{136, "bpf_skc_to_tcp6_sock", func(k *exec.Socket) bool { return isTCP(k) && k.Family == progtype.AFInet6 }},
		{137, "bpf_skc_to_tcp_sock", isTCP},
		{138, "bpf_skc_to_tcp_timewait_sock", func(k *exec.Socket) bool { return k.IsTCP() && k.State == exec.TCPTimeWait }},
		{139, "bpf_skc_to_tcp_request_sock", func(k *exec.Socket) bool { return k.IsTCP() && k.State == exec.TCPNewSynRecv }},
		{140, "bpf_skc_to_udp6_sock", func(k *exec.Socket) bool { return k.Protocol == exec.ProtoUDP && k.Family == progtype.AFInet6 }},
		{178, "bpf_skc_to_unix_sock", func(*exec.Socket) bool { return false }},
		{196, "bpf_skc_to_mptcp_sock", func(*exec.Socket) bool { return false }},
	} {
		register(&Helper{ID: c.id, Name: c.name, Func: castSocket(c.is), Args: []Arg{ArgPtrToSocket}, Ret: RetPtrToBTF, Asks: asksSockets})
	}
}

func isTCP(k *exec.Socket) bool { return k.IsTCP() && k.Full() }

// socketOf is the socket that an argument means: the context's, or the one at an
// address. It is nil where there is none.
func socketOf(s *exec.State, arg uint64) *exec.Socket {
	if arg != uint64(s.Ctx()) {
		return s.SocketAt(arg)
	}
	switch s.Packet.Type {
	case ebpf.SchedCLS, ebpf.SchedACT, ebpf.CGroupSKB, ebpf.SocketFilter:
		return s.SocketAt(progtype.SKB(s).Socket)
	}
	return s.ContextSocket()
}

// give hands a pointer to a socket's struct bpf_sock or struct bpf_tcp_sock to
// the program.
func give(s *exec.State, addr uint64, tcp, owned bool, of exec.Prov) uint64 {
	if s.Checked {
		s.RetProv = s.HoldSocket(addr, tcp, owned, of)
	}
	return addr
}

// skLookup looks for the socket that a packet with a given tuple is for. full
// leaves out what TCP keeps before and after a connection.
func skLookup(proto uint8, full bool) Func {
	return func(s *exec.State, _, r2, r3, r4, r5 uint64) uint64 {
		q, ok := socketQuery(s, view(r2, uint64(uint32(r3))), r4)
		if !ok || r5 != 0 || s.Env.Sockets == nil {
			return 0
		}
		q.Protocol = proto
		k := s.Env.Sockets.Lookup(&q)
		if k == nil || full && !k.Full() {
			return 0
		}
		return give(s, k.SockAddr(), false, true, 0)
	}
}

// sockTuple reads a struct bpf_sock_tuple.
func sockTuple(b []byte) (src, dst netip.AddrPort, ok bool) {
	const tuple4, tuple6 = 12, 36
	var from, to netip.Addr
	switch len(b) {
	case tuple4:
		from, to = netip.AddrFrom4([4]byte(b)), netip.AddrFrom4([4]byte(b[4:]))
	case tuple6:
		from, to = netip.AddrFrom16([16]byte(b)), netip.AddrFrom16([16]byte(b[16:]))
	default:
		return src, dst, false
	}
	ports := b[len(b)-4:]
	src = netip.AddrPortFrom(from, binary.BigEndian.Uint16(ports))
	return src, netip.AddrPortFrom(to, binary.BigEndian.Uint16(ports[2:])), true
}

// socketQuery reads a struct bpf_sock_tuple and a network namespace.
func socketQuery(s *exec.State, tuple []byte, netns uint64) (q exec.SocketQuery, ok bool) {
	if q.Remote, q.Local, ok = sockTuple(tuple); !ok {
		return q, false
	}
	switch {
	case int32(netns) < 0: // BPF_F_CURRENT_NETNS, and what looks like it
		q.NetNS = -1
		if own := progtype.NetNS(s); own != 0 {
			q.NetNS = int64(own)
		}
	case netns > math.MaxInt32:
		return q, false
	default:
		q.NetNS = int64(netns)
	}
	switch s.Packet.Type {
	case ebpf.XDP:
		q.Ifindex = progtype.XDP(s).Ingress
	case ebpf.SchedCLS, ebpf.SchedACT, ebpf.CGroupSKB, ebpf.SkSKB:
		q.Ifindex = progtype.SKB(s).Ifindex
	}
	return q, true
}

func skRelease(s *exec.State, _, _, _, _, _ uint64) uint64 {
	if s.Checked {
		s.DropSocket(s.ArgProv[0])
	}
	return 0
}

func skFullsock(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	if k := socketOf(s, r1); r1 != 0 && k != nil && k.Full() {
		return give(s, k.SockAddr(), false, false, s.ArgProv[0])
	}
	return 0
}

func tcpSock(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	if k := socketOf(s, r1); k != nil && isTCP(k) {
		return give(s, k.TCPAddr(), true, false, s.ArgProv[0])
	}
	return 0
}

func listenerSock(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	if k := socketOf(s, r1); k != nil && k.IsTCP() && k.State == exec.TCPListen {
		return give(s, k.SockAddr(), false, false, s.ArgProv[0])
	}
	return 0
}

// castSocket gives the kernel object of a socket that is of a kind.
func castSocket(is func(*exec.Socket) bool) Func {
	return func(s *exec.State, r1, _, _, _, _ uint64) uint64 {
		if k := socketOf(s, r1); k != nil && is(k) {
			return k.Addr
		}
		return 0
	}
}

// skAssign chooses the socket that the packet goes to.
func skAssign(s *exec.State, _, r2, r3, _, _ uint64) uint64 {
	k := socketOf(s, r2)
	if s.Packet.Type == ebpf.SchedCLS || s.Packet.Type == ebpf.SchedACT {
		switch {
		case r3 != 0 || k == nil:
			return errno.EINVAL.Ret()
		case k.NetNS != 0:
			return errno.ENETUNREACH.Ret()
		}
		progtype.SKB(s).Socket = k.SockAddr()
		s.Act("sk_assign", k.Cookie)
		return 0
	}
	return assignLookup(s, k, r3)
}

// assignLookup is bpf_sk_assign in programs that steer the search for a socket,
// where none takes a choice back.
func assignLookup(s *exec.State, k *exec.Socket, flags uint64) uint64 {
	const (
		replace, noReuseport     = 1, 2
		atSK, atFamily, atProto  = 0, 8, 12
		established, synReceived = exec.TCPEstablished, exec.TCPNewSynRecv
	)
	ctx := progtype.Seen(s)
	chosen := le.Uint64(ctx[atSK:])
	switch {
	case flags&^(replace|noReuseport) != 0:
		return errno.EINVAL.Ret()
	case k != nil && k.IsTCP() && (k.State == established || k.State == synReceived || !k.Full()):
		return errno.ESOCKTNOSUPPORT.Ret()
	case k != nil && k.Protocol != le.Uint32(ctx[atProto:]):
		return errno.EPROTOTYPE.Ret()
	case k != nil && k.Family != le.Uint32(ctx[atFamily:]) && k.Family == progtype.AFInet:
		return errno.EAFNOSUPPORT.Ret()
	case chosen != 0 && flags&replace == 0:
		return errno.EEXIST.Ret()
	}
	chosen, cookie := uint64(0), uint64(0)
	if k != nil {
		chosen, cookie = k.SockAddr(), k.Cookie
	}
	le.PutUint64(ctx[atSK:], chosen)
	s.Act("sk_assign", cookie)
	return 0
}

func socketCookie(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	if k := socketOf(s, r1); k != nil {
		return k.Cookie
	}
	return 0
}

// socketUID is the user whose socket it is; of none, overflowuid.
func socketUID(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	const overflowUID = 65534
	if k := socketOf(s, r1); k != nil && k.Full() {
		return uint64(k.UID)
	}
	return overflowUID
}

// netnsCookie is the socket's network namespace's, and otherwise the first one's.
func netnsCookie(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	const first = 1
	if k := socketOf(s, r1); r1 != 0 && k != nil && k.NetNS != 0 {
		return k.NetNS
	}
	return first
}
