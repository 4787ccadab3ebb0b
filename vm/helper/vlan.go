package helper

import (
	"encoding/binary"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
)

const (
	vlanTag = 4  // bytes of a VLAN tag
	macs    = 12 // bytes of an Ethernet header's addresses
)

func init() {
	register(
		&Helper{ID: 18, Name: "bpf_skb_vlan_push", Func: vlanPush, MovesPacket: true,
			Args: []Arg{ArgPtrToCtx, ArgAnything, ArgAnything}},
		&Helper{ID: 19, Name: "bpf_skb_vlan_pop", Func: vlanPop, MovesPacket: true,
			Args: []Arg{ArgPtrToCtx}},
	)
}

// A packet's outermost VLAN tag lies beside it, not in it, as if the device put
// it in and took it out.

// vlanPush gives the packet an outermost tag; one that it has goes into the
// packet.
func vlanPush(s *exec.State, _, r2, r3, _, _ uint64) uint64 {
	c := progtype.SKB(s)
	proto := uint16(r2)
	if !isVLAN(proto) {
		proto = progtype.Proto8021Q
	}
	if c.VLANPresent != 0 {
		if err := tagIn(s); err != 0 {
			return err.Ret()
		}
	}
	c.VLANPresent, c.VLANProto, c.VLANTCI = 1, proto, uint16(r3)
	c.MacLen = uint32(c.Network - c.Mac)
	return 0
}

// vlanPop takes the outermost tag away; the next one comes out of the packet.
func vlanPop(s *exec.State, _, _, _, _, _ uint64) uint64 {
	c := progtype.SKB(s)
	if c.VLANPresent != 0 {
		c.VLANPresent, c.VLANProto, c.VLANTCI = 0, 0, 0
	} else {
		if !isVLAN(c.Protocol) {
			return 0
		}
		if _, err := tagOut(s); err != 0 {
			return err.Ret()
		}
	}
	if !isVLAN(c.Protocol) {
		return 0
	}
	proto := c.Protocol
	tci, err := tagOut(s)
	if err != 0 {
		return err.Ret()
	}
	c.VLANPresent, c.VLANProto, c.VLANTCI = 1, proto, tci
	return 0
}

func isVLAN(proto uint16) bool {
	return proto == progtype.Proto8021Q || proto == progtype.Proto8021AD
}

// innerProtocol is the packet's protocol behind its VLAN tags, 0 where they do
// not end.
func innerProtocol(s *exec.State) uint16 {
	const maxTags = 8
	c, b := progtype.SKB(s), s.Packet.Bytes()
	at := ethHeader
	if c.MacLen != 0 {
		at = int(c.MacLen) - vlanTag
	}
	proto := c.Protocol
	for n := 1; isVLAN(proto); n++ {
		if at+vlanTag > len(b) || n == maxTags {
			return 0
		}
		proto = le.Uint16(b[at+2:])
		at += vlanTag
	}
	return proto
}

// tagIn writes the tag beside the packet into it.
func tagIn(s *exec.State) errno.Errno {
	p, c := &s.Packet, progtype.SKB(s)
	if uint64(p.Data) != c.Mac {
		return errno.EINVAL
	}
	if !skbPush(s, vlanTag) {
		return errno.ENOMEM
	}
	b := p.Bytes()
	copy(b[:macs], b[vlanTag:])
	le.PutUint16(b[macs:], c.VLANProto)
	binary.BigEndian.PutUint16(b[macs+2:], c.VLANTCI)
	c.Mac = uint64(p.Data)
	c.Network -= vlanTag
	c.Protocol = c.VLANProto
	s.PacketMoved()
	return 0
}

// tagOut takes the tag behind the addresses out of the packet.
func tagOut(s *exec.State) (tci uint16, err errno.Errno) {
	p, c := &s.Packet, progtype.SKB(s)
	if uint64(p.Data) != c.Mac {
		return 0, errno.EINVAL
	}
	b := p.Bytes()
	if len(b) < ethHeader+vlanTag {
		return 0, errno.ENOMEM
	}
	tci = binary.BigEndian.Uint16(b[ethHeader:])
	c.Protocol = progtype.EtherProtocol(mem.View(p.Data+ethHeader+2, len(b)-ethHeader-2))
	copy(b[vlanTag:], b[:macs])
	skbPull(s, vlanTag)
	c.Mac = uint64(p.Data)
	c.Network = max(c.Network, c.Mac+ethHeader)
	c.MacLen = uint32(c.Network - c.Mac)
	s.PacketMoved()
	return tci, 0
}
