package helper

import (
	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// Header lengths in bytes.
const (
	ipv4Header = 20
	ipv6Header = 40
)

// Modes and flags of bpf_skb_adjust_room.
const (
	roomNet = 0 // behind the network header
	roomMac = 1 // behind the Ethernet header

	roomFixedGSO     = 1 << 0
	roomEncapIPv4    = 1 << 1
	roomEncapIPv6    = 1 << 2
	roomEncapGRE     = 1 << 3
	roomEncapUDP     = 1 << 4
	roomKeepCsum     = 1 << 5
	roomEncapEth     = 1 << 6
	roomDecapIPv4    = 1 << 7
	roomDecapIPv6    = 1 << 8
	roomInnerMacBits = 56 // the length of the inner Ethernet header, 8 bits

	roomEncap    = roomEncapIPv4 | roomEncapIPv6
	roomDecap    = roomDecapIPv4 | roomDecapIPv6
	roomAllFlags = roomFixedGSO | roomEncap | roomEncapGRE | roomEncapUDP | roomKeepCsum | roomEncapEth | roomDecap |
		0xff<<roomInnerMacBits
)

func init() {
	register(
		&Helper{ID: 31, Name: "bpf_skb_change_proto", Func: skbChangeProto, MovesPacket: true,
			Args: []Arg{ArgPtrToCtx, ArgAnything, ArgAnything}},
		&Helper{ID: 50, Name: "bpf_skb_adjust_room", Func: skbAdjustRoom, MovesPacket: true,
			Args: []Arg{ArgPtrToCtx, ArgAnything, ArgAnything, ArgAnything}},
	)
}

// skbChangeProto makes room for the header of the other IP version, or takes it
// away; the program writes the header.
func skbChangeProto(s *exec.State, _, r2, r3, _, _ uint64) uint64 {
	c := progtype.SKB(s)
	if r3 != 0 {
		return errno.EINVAL.Ret()
	}
	const diff = ipv6Header - ipv4Header
	behindMac := uintptr(c.Network - c.Mac)
	var err errno.Errno
	switch to := uint16(r2); {
	case c.Protocol == progtype.ProtoIP && to == progtype.ProtoIPv6:
		err = headerPush(s, behindMac, diff)
	case c.Protocol == progtype.ProtoIPv6 && to == progtype.ProtoIP:
		err = headerPop(s, behindMac, diff)
	default:
		err = errno.ENOTSUPP
	}
	if err != 0 {
		return err.Ret()
	}
	c.Protocol = uint16(r2)
	clearHash(c)
	return 0
}

// headerPush makes n bytes of room at an offset; the headers before it move to
// the front.
func headerPush(s *exec.State, offset, n uintptr) errno.Errno {
	p, c := &s.Packet, progtype.SKB(s)
	transportIsNet := c.Transport == c.Network
	if !skbPush(s, n) {
		return errno.ENOMEM
	}
	copy(mem.View(p.Data, int(offset)), mem.View(p.Data+n, int(offset)))
	clear(mem.View(p.Data+offset, int(n)))
	c.Mac -= uint64(n)
	c.Network -= uint64(n)
	if transportIsNet {
		c.Transport = c.Network
	}
	s.PacketMoved()
	return 0
}

// headerPop takes n bytes away at an offset; the headers before it move to the
// back.
func headerPop(s *exec.State, offset, n uintptr) errno.Errno {
	p, c := &s.Packet, progtype.SKB(s)
	if offset+n > uintptr(p.Len()) {
		return errno.ENOMEM
	}
	transportIsNet := c.Transport == c.Network
	copy(mem.View(p.Data+n, int(offset)), mem.View(p.Data, int(offset)))
	skbPull(s, n)
	c.Mac += uint64(n)
	c.Network += uint64(n)
	if transportIsNet {
		c.Transport = c.Network
	}
	s.PacketMoved()
	return 0
}

// skbAdjustRoom makes or takes room behind the Ethernet or the network header,
// for a tunnel's headers.
func skbAdjustRoom(s *exec.State, _, r2, r3, r4, _ uint64) uint64 {
	c := progtype.SKB(s)
	diff, mode, flags := int32(r2), uint32(r3), r4
	shrink := diff < 0
	n := uintptr(max(int64(diff), -int64(diff)))
	if flags&^uint64(roomAllFlags) != 0 {
		return errno.EINVAL.Ret()
	}
	if n > 0xfff {
		return errno.EFAULT.Ret()
	}
	var least uintptr
	switch c.Protocol {
	case progtype.ProtoIP:
		least = ipv4Header
	case progtype.ProtoIPv6:
		least = ipv6Header
	default:
		return errno.ENOTSUPP.Ret()
	}
	offset := uintptr(c.Network - c.Mac)
	switch mode {
	case roomNet:
		offset += least
	case roomMac:
	default:
		return errno.ENOTSUPP.Ret()
	}
	if decap := flags & roomDecap; decap != 0 {
		switch {
		case !shrink || decap == roomDecap:
			return errno.EINVAL.Ret()
		case decap == roomDecapIPv4:
			least = ipv4Header
		default:
			least = ipv6Header
		}
	}

	length := s.Packet.DataEnd - uintptr(c.Network)
	var err errno.Errno
	switch {
	case shrink && (n >= length || length-n < least),
		!shrink && uintptr(s.Packet.Len())+n > maxSKB && c.GSOSize == 0:
		err = errno.ENOTSUPP
	case shrink:
		err = roomShrink(s, offset, n, flags)
	default:
		err = roomGrow(s, offset, n, flags)
	}
	if err != 0 {
		return err.Ret()
	}
	if flags&roomKeepCsum == 0 {
		resetChecksum(c)
	}
	return 0
}

func roomShrink(s *exec.State, offset, n uintptr, flags uint64) errno.Errno {
	c := progtype.SKB(s)
	if flags&^(roomFixedGSO|roomDecap|roomKeepCsum) != 0 {
		return errno.EINVAL
	}
	if c.GSOSize != 0 {
		return errno.ENOTSUPP // segments of no known protocol
	}
	if err := headerPop(s, offset, n); err != 0 {
		return err
	}
	switch {
	case flags&roomDecapIPv6 != 0:
		c.Protocol = progtype.ProtoIPv6
	case flags&roomDecapIPv4 != 0:
		c.Protocol = progtype.ProtoIP
	}
	return 0
}

func roomGrow(s *exec.State, offset, n uintptr, flags uint64) errno.Errno {
	c := progtype.SKB(s)
	if c.GSOSize != 0 {
		return errno.ENOTSUPP
	}
	if flags&roomEncap == 0 {
		return headerPush(s, offset, n)
	}
	innerMac := uintptr(flags >> roomInnerMacBits)
	switch {
	case flags&roomEncap == roomEncap,
		flags&roomEncapGRE != 0 && flags&roomEncapUDP != 0,
		flags&roomEncapEth != 0 && innerMac < ethHeader:
		return errno.EINVAL
	case c.Encapsulation != 0:
		return errno.EALREADY
	case innerMac > n:
		return errno.EINVAL
	}
	if err := headerPush(s, offset, n); err != 0 {
		return err
	}
	c.Encapsulation = 1
	header := uint64(ipv4Header)
	if flags&roomEncapIPv6 != 0 {
		header = ipv6Header
		c.Protocol = progtype.ProtoIPv6
	} else {
		c.Protocol = progtype.ProtoIP
	}
	if flags&(roomEncapGRE|roomEncapUDP) != 0 {
		c.Transport = c.Network + header
	}
	return 0
}
