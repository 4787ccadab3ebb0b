package world

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/skep-ebpf/skep/vm/exec"
)

// sockets implements [exec.Sockets].
type sockets struct {
	all     []*exec.Socket
	byName  map[string]*exec.Socket
	byAddr  map[uint64]*exec.Socket
	places  []place // of all, in their order
	current *exec.Socket
}

// place is what a lookup compares.
type place struct {
	proto         uint8
	local, remote netip.AddrPort
	netns         uint64
	ifindex       uint32
}

// Current implements [exec.Sockets].
func (k *sockets) Current() *exec.Socket { return k.current }

// At implements [exec.Sockets].
func (k *sockets) At(addr uint64) *exec.Socket { return k.byAddr[addr] }

// Socket implements [exec.Sockets].
func (k *sockets) Socket(number uint32) *exec.Socket {
	if number == 0 || int(number) > len(k.all) {
		return nil
	}
	return k.all[number-1]
}

// Lookup implements [exec.Sockets]: the socket that fits best, as Linux's
// inet_lookup and udp_lib_lookup find it. A connected one fits only its peer's
// packets, and goes before others; an address goes before none, and so does an
// interface.
func (k *sockets) Lookup(q *exec.SocketQuery) *exec.Socket {
	best, score := (*exec.Socket)(nil), -1
	for i, s := range k.all {
		if n := k.places[i].fits(q); n > score {
			best, score = s, n
		}
	}
	return best
}

// fits gives how well a socket fits, or -1.
func (p *place) fits(q *exec.SocketQuery) int {
	netns := uint64(max(q.NetNS, 0))
	if p.proto != q.Protocol || p.local.Port() != q.Local.Port() || p.netns != netns ||
		p.local.Addr().Is4() != q.Local.Addr().Is4() {
		return -1
	}
	score := 0
	if !p.local.Addr().IsUnspecified() {
		if p.local.Addr() != q.Local.Addr() {
			return -1
		}
		score += 2
	}
	if p.remote.IsValid() {
		if p.remote != q.Remote {
			return -1
		}
		score += 4
	}
	if p.ifindex != 0 {
		if p.ifindex != q.Ifindex {
			return -1
		}
		score++
	}
	return score
}

// states are TCP's, by the names that ss gives them.
var states = map[string]uint32{
	"established": exec.TCPEstablished, "syn-sent": 2, "syn-recv": exec.TCPSynRecv, "fin-wait-1": 4, "fin-wait-2": 5,
	"time-wait": exec.TCPTimeWait, "close": 7, "close-wait": 8, "last-ack": 9, "listen": exec.TCPListen, "closing": 11,
	"new-syn-recv": exec.TCPNewSynRecv,
}

func (k *sockets) add(all []Socket, w *World) error {
	k.byName, k.byAddr = map[string]*exec.Socket{}, map[uint64]*exec.Socket{}
	var err error
	if k.all, err = exec.NewSockets(len(all)); err != nil {
		return err
	}
	for i := range all {
		d, s := &all[i], k.all[i]
		if d.Name == "" {
			d.Name = fmt.Sprintf("socket %d", i+1)
		}
		if k.byName[d.Name] != nil {
			return fmt.Errorf("two sockets are called %s", d.Name)
		}
		p, err := fill(s, d, w)
		if err != nil {
			return fmt.Errorf("socket %s: %w", d.Name, err)
		}
		k.places = append(k.places, p)
		k.byName[d.Name] = s
		k.byAddr[s.SockAddr()], k.byAddr[s.TCPAddr()] = s, s
		if s.Addr != 0 {
			k.byAddr[s.Addr] = s
		}
	}
	return nil
}

// protocol is a protocol's number by its name.
func protocol(name string) (uint8, error) {
	switch name {
	case "tcp":
		return exec.ProtoTCP, nil
	case "udp":
		return exec.ProtoUDP, nil
	}
	return 0, fmt.Errorf("proto is %q; there is tcp and udp", name)
}

// fill makes a socket what its description says.
func fill(s *exec.Socket, d *Socket, w *World) (place, error) {
	p := place{local: d.Local, remote: d.Remote, netns: d.NetNS}
	if !d.Local.IsValid() {
		return p, fmt.Errorf("has no local address: want one such as 10.0.0.1:80, or 0.0.0.0:80 for any")
	}
	if d.Remote.IsValid() && d.Remote.Addr().Is4() != d.Local.Addr().Is4() {
		return p, fmt.Errorf("has local address %s and remote address %s, of two families", d.Local, d.Remote)
	}
	const stream, datagram = 1, 2
	var err error
	if p.proto, err = protocol(d.Proto); err != nil {
		return p, err
	}
	s.Type = datagram
	if p.proto == exec.ProtoTCP {
		s.Type = stream
	}
	state, ok := states[d.State]
	switch {
	case d.State == "" && d.Remote.IsValid():
		state = exec.TCPEstablished
	case d.State == "" && d.Proto == "tcp":
		state = exec.TCPListen
	case d.State == "":
		state = states["close"]
	case !ok:
		return p, fmt.Errorf("state is %q; there is listen, established, close, and what else ss shows", d.State)
	}
	if d.Interface != "" {
		var err error
		if p.ifindex, err = w.device(d.Interface); err != nil {
			return p, err
		}
		if p.netns == 0 {
			p.netns = w.routes.NetNS(p.ifindex)
		}
	}
	const inet, inet6 = 2, 10
	s.Family, s.Protocol, s.State = inet, uint32(p.proto), state
	s.BoundDevIf, s.Mark, s.Priority, s.RxQueue = p.ifindex, d.Mark, d.Priority, -1
	if d.RxQueue != nil {
		s.RxQueue = *d.RxQueue
	}
	s.SrcPort = uint32(d.Local.Port())
	binary.BigEndian.PutUint16(s.DstPort[:], d.Remote.Port())
	if d.Local.Addr().Is4() {
		s.SrcIP4 = d.Local.Addr().As4()
		if d.Remote.IsValid() {
			s.DstIP4 = d.Remote.Addr().As4()
			if d.Proto == "tcp" { // a connection has its addresses in both forms
				s.SrcIP6, s.DstIP6 = d.Local.Addr().As16(), d.Remote.Addr().As16()
			}
		}
	} else {
		s.Family, s.SrcIP6, s.SrcIP4 = inet6, d.Local.Addr().As16(), insideIPv4(d.Local.Addr())
		if d.Remote.IsValid() {
			s.DstIP6 = d.Remote.Addr().As16()
			if state == exec.TCPSynRecv || state == exec.TCPNewSynRecv { // a peer that asked for the connection
				s.DstIP4 = insideIPv4(d.Remote.Addr())
			}
		}
	}
	if d.PID != 0 && w.tasks.Task(d.PID) == nil {
		return p, fmt.Errorf("there is no process %d", d.PID)
	}
	w.conntrack.AddNetNS(p.netns)
	s.PID, s.UID, s.Cookie, s.NetNS, s.Addr = d.PID, d.UID, d.Cookie, p.netns, d.Sock
	if s.Cookie == 0 {
		s.Cookie = uint64(s.Number)
	}
	if s.Cgroup, err = w.cgroups.id(d.Cgroup); err != nil {
		return p, err
	}
	s.ClassID = w.cgroups.class[s.Cgroup]
	*s.TCP = exec.TCPFields(d.TCP)
	return p, nil
}

// insideIPv4 is what a socket of IPv6 that is bound to an address has in place of one
// of IPv4: the address that is mapped, or one of loopback's (LOOPBACK4_IPV6).
func insideIPv4(a netip.Addr) [4]byte {
	switch {
	case a.IsUnspecified():
		return [4]byte{}
	case a.Is4In6():
		return a.Unmap().As4()
	}
	return [4]byte{127, 0, 0, 6}
}
