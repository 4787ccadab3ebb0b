package helper

import (
	"bytes"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
)

func init() {
	register(&Helper{ID: 73, Name: "bpf_lwt_push_encap", Func: lwtPushEncap, MovesPacket: true,
		Args: []Arg{ArgPtrToCtx, ArgAnything, ArgPtrToMem, ArgConstSize}})
}

// lwtPushEncap puts an IP header, and what goes with it, before the packet's, or, to a
// packet that comes in, a header of segments.
func lwtPushEncap(s *exec.State, _, r2, r3, r4, _ uint64) uint64 {
	const (
		encapSeg6, encapSeg6Inline, encapIP = 0, 1, 2 // BPF_LWT_ENCAP_*

		longest = 256 // bytes (LWT_BPF_MAX_HEADROOM)
	)
	n := uint64(uint32(r4))
	if mode := uint32(r2); s.Packet.Type == ebpf.LWTIn && (mode == encapSeg6 || mode == encapSeg6Inline) {
		return pushSegments(s, view(r3, n), mode == encapSeg6Inline).Ret()
	}
	if uint32(r2) != encapIP || n < ipv4Header || n > longest {
		return errno.EINVAL.Ret()
	}
	header := bytes.Clone(view(r3, n)) // which the packet may move under
	version := header[0] >> 4
	ip, ok := wholeHeaders(header)
	if !ok {
		return errno.EINVAL.Ret()
	}
	if !skbPush(s, uintptr(n)) {
		return errno.ENOMEM.Ret()
	}
	p, c := &s.Packet, progtype.SKB(s)
	c.Encapsulation, c.Network = 1, uint64(p.Data)
	c.Protocol = progtype.ProtoIPv6
	clearHash(c)
	if version == 4 {
		c.Protocol = progtype.ProtoIP
		fillIPChecksum(header[:ip])
	}
	copy(mem.View(p.Data, len(header)), header)
	s.PacketMoved()
	if c.GSOSize != 0 {
		return errno.ENOTSUPP.Ret() // segments of no known protocol
	}
	return 0
}

// wholeHeaders gives how long the IP header is that headers begin with, and
// whether it is there, and the one of UDP if that comes next.
func wholeHeaders(headers []byte) (ip int, ok bool) {
	const udpHeader = 8
	var next byte
	switch headers[0] >> 4 {
	case 4:
		ip, next = 4*int(headers[0]&15), headers[9]
	case 6:
		ip, next = ipv6Header, headers[6]
	default:
		return 0, false
	}
	if next == exec.ProtoUDP {
		return ip, len(headers) >= ip+udpHeader
	}
	return ip, len(headers) >= ip
}

// fillIPChecksum computes the checksum of an IPv4 header that has none.
func fillIPChecksum(header []byte) {
	const checksum = 10
	if len(header) < ipv4Header || header[checksum] != 0 || header[checksum+1] != 0 {
		return
	}
	sum := uint32(0)
	for i := 0; i < len(header); i += 2 {
		sum += uint32(header[i])<<8 | uint32(header[i+1])
	}
	sum = sum&0xffff + sum>>16
	sum = ^(sum&0xffff + sum>>16)
	header[checksum], header[checksum+1] = byte(sum>>8), byte(sum)
}
