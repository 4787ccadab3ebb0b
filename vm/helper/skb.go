package helper

import (
	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// maxSKB is the longest packet that helpers grow one to, in bytes
// (SKB_MAX_ALLOC).
const maxSKB = 4*4096 - 320

func init() {
	register(
		&Helper{ID: 9, Name: "bpf_skb_store_bytes", Func: skbStoreBytes, MovesPacket: true,
			Args: []Arg{ArgPtrToCtx, ArgAnything, ArgPtrToMem, ArgConstSize, ArgAnything}},
		&Helper{ID: 26, Name: "bpf_skb_load_bytes", Func: skbLoadBytes,
			Args: []Arg{ArgPtrToCtx, ArgAnything, ArgPtrToUninitMem, ArgConstSize}},
		&Helper{ID: 32, Name: "bpf_skb_change_type", Func: skbChangeType,
			Args: []Arg{ArgPtrToCtx, ArgAnything}},
		&Helper{ID: 38, Name: "bpf_skb_change_tail", Func: skbChangeTail, MovesPacket: true,
			Args: []Arg{ArgPtrToCtx, ArgAnything, ArgAnything}},
		&Helper{ID: 39, Name: "bpf_skb_pull_data", Func: skbPullData, MovesPacket: true,
			Args: []Arg{ArgPtrToCtx, ArgAnything}},
		&Helper{ID: 43, Name: "bpf_skb_change_head", Func: skbChangeHead, MovesPacket: true,
			Args: []Arg{ArgPtrToCtx, ArgAnything, ArgAnything}},
		&Helper{ID: 68, Name: "bpf_skb_load_bytes_relative", Func: skbLoadBytesRelative,
			Args: []Arg{ArgPtrToCtx, ArgAnything, ArgPtrToUninitMem, ArgConstSize, ArgAnything}},
	)
}

func skbLoadBytes(s *exec.State, _, r2, r3, r4, _ uint64) uint64 {
	offset, to := uint64(uint32(r2)), view(r3, uint64(uint32(r4)))
	packet := s.Packet.Bytes()
	if offset+uint64(len(to)) > uint64(len(packet)) {
		clear(to)
		return errno.EFAULT.Ret()
	}
	copy(to, packet[offset:])
	return 0
}

// skbLoadBytesRelative counts from the Ethernet header or the one behind it.
func skbLoadBytesRelative(s *exec.State, _, r2, r3, r4, r5 uint64) uint64 {
	const headerMac, headerNet = 0, 1
	offset, to := uintptr(uint32(r2)), view(r3, uint64(uint32(r4)))
	c := progtype.SKB(s)
	var start uintptr
	switch uint32(r5) {
	case headerMac:
		start = uintptr(c.Mac)
	case headerNet:
		start = uintptr(c.Network)
	}
	if offset > 0xffff || start == 0 || start+offset+uintptr(len(to)) > s.Packet.DataEnd {
		clear(to)
		return errno.EFAULT.Ret()
	}
	copy(to, mem.View(start+offset, len(to)))
	return 0
}

func skbStoreBytes(s *exec.State, _, r2, r3, r4, r5 uint64) uint64 {
	const recomputeCsum, invalidateHash = 1, 2
	offset, from := uint64(uint32(r2)), view(r3, uint64(uint32(r4)))
	packet := s.Packet.Bytes()
	switch {
	case r5&^(recomputeCsum|invalidateHash) != 0:
		return errno.EINVAL.Ret()
	case offset+uint64(len(from)) > uint64(len(packet)):
		return errno.EFAULT.Ret()
	}
	copy(packet[offset:], from)
	if r5&invalidateHash != 0 {
		clearHash(progtype.SKB(s))
	}
	return 0
}

// skbPullData has nothing to pull: a packet lies in one piece.
func skbPullData(s *exec.State, _, r2, _, _, _ uint64) uint64 {
	if uint64(uint32(r2)) > uint64(s.Packet.Len()) {
		return errno.ENOMEM.Ret()
	}
	return 0
}

func skbChangeType(s *exec.State, _, r2, _, _, _ uint64) uint64 {
	const otherHost = 3
	c := progtype.SKB(s)
	if c.PktType > otherHost || uint32(r2) > otherHost {
		return errno.EINVAL.Ret()
	}
	c.PktType = uint32(r2)
	return 0
}

// skbChangeTail cuts the packet off or lengthens it with zeros.
func skbChangeTail(s *exec.State, _, r2, r3, _, _ uint64) uint64 {
	p, c := &s.Packet, progtype.SKB(s)
	newLen := uintptr(uint32(r2))
	least := uintptr(c.Network) - p.Data
	if c.Transport != 0 {
		least = uintptr(c.Transport) - p.Data
	}
	switch {
	case r3 != 0 || newLen > maxSKB || newLen < least:
		return errno.EINVAL.Ret()
	case c.Encapsulation != 0:
		return errno.ENOTSUPP.Ret()
	case p.Data+newLen > p.HardEnd:
		return errno.ENOMEM.Ret()
	}
	if end := p.Data + newLen; end > p.DataEnd {
		clear(mem.View(p.DataEnd, int(end-p.DataEnd)))
	}
	p.DataEnd = p.Data + newLen
	c.GSOSize, c.GSOSegs = 0, 0
	s.PacketMoved()
	return 0
}

// skbChangeHead puts zeros before the packet, where its Ethernet header is from
// now on.
func skbChangeHead(s *exec.State, _, r2, r3, _, _ uint64) uint64 {
	p, c := &s.Packet, progtype.SKB(s)
	room := uint32(r2)
	newLen := uint32(p.Len()) + room
	if r3 != 0 || newLen > maxSKB && c.GSOSize == 0 || newLen < room {
		return errno.EINVAL.Ret()
	}
	if !skbPush(s, uintptr(room)) {
		return errno.ENOMEM.Ret()
	}
	clear(mem.View(p.Data, int(room)))
	c.Mac = uint64(p.Data)
	c.MacLen = uint32(c.Network - c.Mac)
	s.PacketMoved()
	return 0
}

// skbPush moves the packet's beginning n bytes back, and reports whether there is
// room. The headers' addresses are those of the same bytes as before.
func skbPush(s *exec.State, n uintptr) bool {
	p := &s.Packet
	if p.Data-p.HardStart < n {
		room, length := p.HardEnd-p.HardStart, p.DataEnd-p.Data
		if room < length || room-length < n {
			return false
		}
		skbMove(s, p.HardStart+min(n+exec.Headroom, room-length)-p.Data)
	}
	p.Data -= n
	p.Meta = p.Data
	return true
}

// skbPull moves the packet's beginning n bytes on, which it must have.
func skbPull(s *exec.State, n uintptr) {
	p := &s.Packet
	p.Data += n
	p.Meta = p.Data
}

// skbMove moves the packet by a distance, to another place in its room.
func skbMove(s *exec.State, by uintptr) {
	p, c := &s.Packet, progtype.SKB(s)
	copy(mem.View(p.Data+by, p.Len()), p.Bytes())
	p.Data += by
	p.DataEnd += by
	c.Mac += uint64(by)
	c.Network += uint64(by)
	if c.Transport != 0 {
		c.Transport += uint64(by)
	}
}
