package vm

import (
	"encoding/binary"
	"net/netip"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// Programs on a packet's way out run in the process that sends it, and those of a
// socket's system calls in the process that makes them. Which one that is, the socket
// says. Programs on the way in run in whatever the processor was at.

// calledBySocket are the types whose programs run in calls of a socket's owner.
var calledBySocket = map[ebpf.ProgramType]bool{
	ebpf.CGroupSock: true, ebpf.CGroupSockAddr: true, ebpf.CGroupSockopt: true, ebpf.SkMsg: true,
}

// sendsPacket reports whether the program sees packets that leave this host.
func (p *Program) sendsPacket(in *Input) bool {
	switch p.obj.image.Type {
	case ebpf.CGroupSKB:
		return p.obj.image.Attach == ebpf.AttachCGroupInetEgress
	case ebpf.SchedCLS:
		return p.obj.image.Attach == ebpf.AttachTCXEgress || in.Place != nil && !in.Place.AtIngress && in.Place.Ingress == 0
	}
	return false
}

// enterSocket makes the run one of a socket: the world's current one, or else the one
// that the packet comes from or is for. On the way out it is the owner's.
func (p *Program) enterSocket(s *exec.State, in *Input) {
	s.Task = nil
	if s.Env.Sockets == nil {
		return
	}
	k, sends := s.Env.Sockets.Current(), p.sendsPacket(in)
	if k == nil && (sends || p.obj.image.Type == ebpf.CGroupSKB) {
		if q, ok := packetQuery(s, sends); ok {
			k = s.Env.Sockets.Lookup(&q)
		}
	}
	p.obj.typ.EnterSocket(s, k)
	if k != nil && k.PID != 0 && s.Env.Tasks != nil && (sends || calledBySocket[p.obj.image.Type]) {
		s.Task = s.Env.Tasks.Task(k.PID)
	}
}

// packetQuery asks for the socket at this host's end of the run's packet.
func packetQuery(s *exec.State, sends bool) (q exec.SocketQuery, ok bool) {
	const ethernet, v4, v6, ports = 14, 20, 40, 4
	ip := mem.View(s.Packet.Data, s.Packet.Len())
	if s.Packet.Type != ebpf.CGroupSKB {
		ip = ip[min(ethernet, len(ip)):]
	}
	var src, dst netip.Addr
	var header int
	switch {
	case len(ip) >= v4 && ip[0]>>4 == 4:
		src, dst = netip.AddrFrom4([4]byte(ip[12:])), netip.AddrFrom4([4]byte(ip[16:]))
		q.Protocol, header = ip[9], int(ip[0]&15)*4
	case len(ip) >= v6 && ip[0]>>4 == 6:
		src, dst = netip.AddrFrom16([16]byte(ip[8:])), netip.AddrFrom16([16]byte(ip[24:]))
		q.Protocol, header = ip[6], v6
	default:
		return q, false
	}
	if len(ip) < header+ports || q.Protocol != exec.ProtoTCP && q.Protocol != exec.ProtoUDP {
		return q, false
	}
	q.Remote = netip.AddrPortFrom(src, binary.BigEndian.Uint16(ip[header:]))
	q.Local = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(ip[header+2:]))
	if sends {
		q.Local, q.Remote = q.Remote, q.Local
	}
	q.Ifindex, q.NetNS = progtype.SKB(s).Ifindex, -1
	if own := progtype.NetNS(s); own != 0 {
		q.NetNS = int64(own)
	}
	return q, true
}
