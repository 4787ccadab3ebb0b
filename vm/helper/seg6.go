package helper

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// IPv6 segment routing (RFC 8754), for programs that are a route's End.BPF. Linux runs
// these on packets whose header of segments is valid, and holds against it what they
// make of it; in a test run it knows of none. The machine takes the header that the
// packet comes with (progtype.SKBContext.Segments).

func init() {
	const asks = "routes"
	register(
		&Helper{ID: 74, Name: "bpf_lwt_seg6_store_bytes", Func: seg6StoreBytes,
			Args: []Arg{ArgPtrToCtx, ArgAnything, ArgPtrToMem, ArgConstSize}},
		&Helper{ID: 75, Name: "bpf_lwt_seg6_adjust_srh", Func: seg6Adjust, MovesPacket: true,
			Args: []Arg{ArgPtrToCtx, ArgAnything, ArgAnything}},
		&Helper{ID: 76, Name: "bpf_lwt_seg6_action", Func: seg6Action, MovesPacket: true, Asks: asks,
			Args: []Arg{ArgPtrToCtx, ArgAnything, ArgPtrToMem, ArgConstSize}},
	)
}

// seg6StoreBytes writes to the flags and the tag of the header of segments, or to its
// TLVs.
func seg6StoreBytes(s *exec.State, _, r2, r3, r4, _ uint64) uint64 {
	h, ok := segments(s)
	if !ok {
		return errno.EINVAL.Ret()
	}
	const flags = 5
	from := view(r3, uint64(uint32(r4)))
	first := int(uint32(r2))
	last := first + len(from)
	// Linux 7.2 counts the segments from the header's beginning here, so that a
	// program may write to the end of the last one as well.
	tlvs := h.at + h.list() - progtype.SRHFixed
	switch {
	case first >= tlvs && last <= h.end():
		h.changed()
	case first < h.at+flags || last > h.at+progtype.SRHFixed:
		return errno.EFAULT.Ret()
	}
	if last > s.Packet.Len() {
		return errno.EFAULT.Ret()
	}
	if !h.find() {
		return errno.EINVAL.Ret()
	}
	copy(s.Packet.Bytes()[first:], from)
	return 0
}

// seg6Adjust makes room among the TLVs of the header of segments, or takes some away.
func seg6Adjust(s *exec.State, _, r2, r3, _, _ uint64) uint64 {
	h, ok := segments(s)
	if !ok {
		return errno.EINVAL.Ret()
	}
	at, n := int(uint32(r2)), int(int32(r3))
	if at < h.at+h.list() || at > h.end() || n < 0 && at-n > h.end() {
		return errno.EFAULT.Ret()
	}
	var err errno.Errno
	if n > 0 {
		err = headerPush(s, uintptr(at), uintptr(n))
	} else {
		err = headerPop(s, uintptr(at), uintptr(-n))
	}
	if err != 0 {
		return err.Ret()
	}
	setPayloadLength(s)
	if !h.find() {
		return errno.EINVAL.Ret()
	}
	h.ctx.SegmentsLen += uint16(n)
	h.changed()
	return 0
}

// seg6Action does what a route with the action would do, and gives how the lookup of
// the packet's next hop ended.
func seg6Action(s *exec.State, _, r2, r3, r4, _ uint64) uint64 {
	const (
		endX       = 2
		endT       = 3
		endDT6     = 7
		endB6      = 9
		endB6Encap = 10
	)
	action, param := uint32(r2), view(r3, uint64(uint32(r4)))
	h, some := segments(s)
	switch action {
	case endX, endT, endDT6:
		want := 4
		if action == endX {
			want = 16
		}
		switch {
		case !some || !h.valid():
			return errno.EBADMSG.Ret()
		case len(param) != want:
			return errno.EINVAL.Ret()
		}
	case endB6, endB6Encap:
		if some && !h.valid() {
			return errno.EBADMSG.Ret()
		}
	default:
		return errno.EINVAL.Ret()
	}
	switch action {
	case endX:
		return nextHop(s, netip.AddrFrom16([16]byte(param)), 0).Ret()
	case endT:
		return nextHop(s, netip.Addr{}, le.Uint32(param)).Ret()
	case endDT6:
		table := le.Uint32(param)
		if !decapsulate(s) {
			return errno.EBADMSG.Ret()
		}
		progtype.SKB(s).FindSegments(s.Packet.Bytes())
		return nextHop(s, netip.Addr{}, table).Ret()
	}
	err := pushSegments(s, param, action == endB6)
	if err == 0 {
		progtype.SKB(s).FindSegments(s.Packet.Bytes())
	}
	return err.Ret()
}

// decapsulate takes everything away that is before the inner IPv6 header.
func decapsulate(s *exec.State) bool {
	const ipv6 = 41
	at, ok := progtype.FindIPv6Header(s.Packet.Bytes(), ipv6)
	if !ok {
		return false
	}
	skbPull(s, uintptr(at))
	c := progtype.SKB(s)
	c.Network, c.Transport, c.Encapsulation = uint64(s.Packet.Data), uint64(s.Packet.Data), 0
	s.PacketMoved()
	return true
}

// pushSegments gives the packet a header of segments: behind its IPv6 header, or
// behind a new one.
func pushSegments(s *exec.State, header []byte, inline bool) errno.Errno {
	const (
		ipv6, routing = 41, 43
		hopLimit      = 64 // of an IPv4 packet's new header
	)
	c := progtype.SKB(s)
	if !progtype.ValidSegments(header, false) {
		return errno.EINVAL
	}
	if inline && c.Protocol != progtype.ProtoIPv6 {
		return errno.EBADMSG
	}
	header = bytes.Clone(header) // which the packet may move under
	first := header[progtype.SRHFixed+16*int(header[4]):][:16]
	if inline {
		if err := headerPush(s, ipv6Header, uintptr(len(header))); err != 0 {
			return err
		}
		ip := s.Packet.Bytes()
		header[0], ip[6] = ip[6], routing
		copy(header[progtype.SRHFixed:], ip[24:40]) // the last segment
		copy(ip[24:40], first)
		copy(ip[ipv6Header:], header)
	} else {
		inner := [ipv6Header]byte{0: 6 << 4, 7: hopLimit}
		if c.Protocol == progtype.ProtoIPv6 {
			copy(inner[:], s.Packet.Bytes())
		}
		if err := headerPush(s, 0, uintptr(ipv6Header+len(header))); err != 0 {
			return err
		}
		c.Encapsulation = 1
		ip := s.Packet.Bytes()
		copy(ip, inner[:4]) // version, class and label
		ip[6], ip[7] = routing, inner[7]
		header[0] = ipv6
		copy(ip[24:40], first)
		copy(ip[8:24], tunnelSource(s, first))
		copy(ip[ipv6Header:], header)
	}
	if err := missingHMAC(header); err != 0 {
		return err
	}
	setPayloadLength(s)
	c.Transport = c.Network + ipv6Header
	return nextHop(s, netip.Addr{}, 0)
}

// missingHMAC is the error of a header that wants to be signed: the machine has no
// keys.
func missingHMAC(header []byte) errno.Errno {
	const signed, tlvHMAC, tlvLen, size = 1 << 3, 5, 38, 40
	if header[5]&signed == 0 {
		return 0
	}
	if int(header[1]) < (int(header[4])+1)*2+size/8 {
		return errno.EINVAL
	}
	if tlv := header[len(header)-size:]; tlv[0] != tlvHMAC || tlv[1] != tlvLen {
		return errno.EINVAL
	}
	return errno.ENOENT
}

// tunnelSource is the address that a packet to an address leaves with; unspecified
// where the environment has none.
func tunnelSource(s *exec.State, to []byte) []byte {
	if s.Env.Net != nil {
		r := s.Env.Net.FIB(exec.FIBQuery{Ifindex: progtype.SKB(s).Ifindex, Dst: netip.AddrFrom16([16]byte(to)), Local: true})
		if r.Src.Is6() {
			return r.Src.AsSlice()
		}
	}
	return make([]byte, 16)
}

// nextHop looks up the packet's way to an address, by default its destination, and
// gives the error of a route that there is not, or that goes nowhere.
func nextHop(s *exec.State, to netip.Addr, table uint32) errno.Errno {
	ip := s.Packet.Bytes()
	if !to.IsValid() {
		to = netip.AddrFrom16([16]byte(ip[24:40]))
	}
	if s.Env.Net == nil {
		return errno.ENETUNREACH
	}
	r := s.Env.Net.FIB(exec.FIBQuery{
		Ifindex: progtype.SKB(s).Ifindex, Src: netip.AddrFrom16([16]byte(ip[8:24])), Dst: to,
		Proto: ip[6], Mark: progtype.SKB(s).Mark, Table: table, Local: true,
	})
	switch r.Code {
	case exec.FIBSuccess:
		return 0
	case exec.FIBBlackhole:
		return errno.EINVAL
	case exec.FIBProhibit:
		return errno.EACCES
	}
	return errno.ENETUNREACH
}

func setPayloadLength(s *exec.State) {
	binary.BigEndian.PutUint16(s.Packet.Bytes()[4:], uint16(s.Packet.Len()-ipv6Header))
}

// segmentsHeader is a packet's header of segments, as the program has left it.
type segmentsHeader struct {
	s   *exec.State
	ctx *progtype.SKBContext
	at  int // where it begins, in bytes
}

func segments(s *exec.State) (segmentsHeader, bool) {
	c := progtype.SKB(s)
	return segmentsHeader{s: s, ctx: c, at: int(c.Segments)}, c.Segments != 0
}

// list is how long the header is up to the end of its segments, in bytes.
func (h *segmentsHeader) list() int {
	last := h.s.Packet.Bytes()[h.at+4]
	return progtype.SRHFixed + 16*(int(last)+1)
}

// end is where the header ends.
func (h *segmentsHeader) end() int { return h.at + progtype.SRHFixed + int(h.ctx.SegmentsLen) }

func (h *segmentsHeader) changed() { h.ctx.SegmentsChanged = 1 }

// find looks where the header is now.
func (h *segmentsHeader) find() bool {
	at, ok := progtype.FindIPv6Header(h.s.Packet.Bytes(), progtype.Routing)
	if ok {
		h.at, h.ctx.Segments = at, uint16(at)
	}
	return ok
}

// valid reports whether the header is one still, and has its length say so.
func (h *segmentsHeader) valid() bool {
	if h.ctx.SegmentsChanged == 0 {
		return true
	}
	p, n := h.s.Packet.Bytes(), int(h.ctx.SegmentsLen)
	if n%8 != 0 || h.end() > len(p) {
		return false
	}
	p[h.at+1] = byte(n / 8)
	if !progtype.ValidSegments(p[h.at:h.end()], true) {
		return false
	}
	h.ctx.SegmentsChanged = 0
	return true
}
