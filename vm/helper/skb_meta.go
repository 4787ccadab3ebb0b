package helper

import (
	"encoding/binary"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
)

func init() {
	register(
		&Helper{ID: 34, Name: "bpf_get_hash_recalc", Func: hashRecalc, Args: []Arg{ArgPtrToCtx}},
		&Helper{ID: 41, Name: "bpf_set_hash_invalid", Func: setHashInvalid, Args: []Arg{ArgPtrToCtx}},
		&Helper{ID: 48, Name: "bpf_set_hash", Func: setHash, Args: []Arg{ArgPtrToCtx, ArgAnything}},
		&Helper{ID: 97, Name: "bpf_skb_ecn_set_ce", Func: ecnSetCE, Args: []Arg{ArgPtrToCtx}},
		&Helper{ID: 192, Name: "bpf_skb_set_tstamp", Func: setTstamp,
			Args: []Arg{ArgPtrToCtx, ArgAnything, ArgAnything}},
	)
}

func clearHash(c *progtype.SKBContext) { c.Hash, c.HashSet = 0, 0 }

func setHashInvalid(s *exec.State, _, _, _, _, _ uint64) uint64 {
	clearHash(progtype.SKB(s))
	return 0
}

func setHash(s *exec.State, _, r2, _, _, _ uint64) uint64 {
	c := progtype.SKB(s)
	c.Hash, c.HashSet = uint32(r2), progtype.HashOfPorts
	return 0
}

// hashRecalc gives the packet's hash: packets of one flow have the same, and it
// is never 0. Linux's is different on each boot.
func hashRecalc(s *exec.State, _, _, _, _, _ uint64) uint64 {
	c := progtype.SKB(s)
	if c.HashSet == 0 {
		b, ports := flow(s)
		c.Hash, c.HashSet = max(fnv(b), 1), progtype.HashOfAddresses
		if ports {
			c.HashSet = progtype.HashOfPorts
		}
	}
	return uint64(c.Hash)
}

// fnv is the FNV-1a hash.
func fnv(b []byte) uint32 {
	h := uint32(2166136261)
	for _, c := range b {
		h = (h ^ uint32(c)) * 16777619
	}
	return h
}

// flow is the part of a packet that its flow's packets share: addresses, and
// the ports behind a header without options, if ports says so.
func flow(s *exec.State) (b []byte, ports bool) {
	c := progtype.SKB(s)
	return flowOf(c.Protocol, mem.View(uintptr(c.Network), int(s.Packet.DataEnd-uintptr(c.Network))))
}

// flowOf is flow of a packet from its network header on.
func flowOf(protocol uint16, b []byte) (flow []byte, ports bool) {
	switch {
	case protocol == progtype.ProtoIP && len(b) >= ipv4Header:
		fragment := binary.BigEndian.Uint16(b[6:])&0x3fff != 0
		if b[0] == 0x45 && !fragment && len(b) >= ipv4Header+4 && (b[9] == 6 || b[9] == 17) {
			return b[12 : ipv4Header+4], true
		}
		return b[12:ipv4Header], false
	case protocol == progtype.ProtoIPv6 && len(b) >= ipv6Header:
		if len(b) >= ipv6Header+4 && (b[6] == 6 || b[6] == 17) {
			return b[8 : ipv6Header+4], true
		}
		return b[8:ipv6Header], false
	}
	return nil, false
}

// ecnSetCE marks a packet whose sender understands it as one that met
// congestion, and gives 1 where the packet bears the mark.
func ecnSetCE(s *exec.State, _, _, _, _, _ uint64) uint64 {
	const mask, notCapable, ce = 3, 0, 3
	c := progtype.SKB(s)
	b := mem.View(uintptr(c.Network), int(s.Packet.DataEnd-uintptr(c.Network)))
	switch proto := innerProtocol(s); {
	case proto == progtype.ProtoIP && len(b) >= ipv4Header:
		switch ecn := b[1] & mask; ecn {
		case notCapable:
			return 0
		case ce:
			return 1
		default:
			sum := add32(uint32(binary.BigEndian.Uint16(b[10:])), uint32(0xfffb+uint16(ecn)+1))
			binary.BigEndian.PutUint16(b[10:], fold(sum))
		}
		b[1] |= ce
		return 1
	case proto == progtype.ProtoIPv6 && len(b) >= ipv6Header:
		if b[1]>>4&mask == notCapable {
			return 0
		}
		b[1] |= ce << 4
		return 1
	}
	return 0
}

// setTstamp sets the time at which a packet is to leave, and which clock's it is.
func setTstamp(s *exec.State, _, r2, r3, _, _ uint64) uint64 {
	const realtime, monotonic, tai = 0, 1, 2
	c := progtype.SKB(s)
	if c.Protocol != progtype.ProtoIP && c.Protocol != progtype.ProtoIPv6 {
		return errno.EOPNOTSUPP.Ret()
	}
	switch clock := uint32(r3); {
	case clock > tai, clock != realtime && r2 == 0:
		return errno.EINVAL.Ret()
	default:
		c.Tstamp, c.TstampType = r2, uint8(clock)
	}
	return 0
}
