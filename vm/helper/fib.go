package helper

import (
	"net/netip"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// Flags of bpf_fib_lookup.
const (
	fibDirect        = 1 << 0
	fibOutput        = 1 << 1
	fibSkipNeighbour = 1 << 2
	fibTable         = 1 << 3
	fibSource        = 1 << 4
	fibMark          = 1 << 5
	fibAllFlags      = 1<<6 - 1
)

// Offsets in struct bpf_fib_lookup. Some of its fields are a question before
// and an answer after.
const (
	fibProto   = 1
	fibLength  = 6 // and the MTU
	fibIfindex = 8
	fibTOS     = 12 // and the metric
	fibSrc     = 16
	fibDst     = 32
	fibTableID = 48 // and the VLAN tag
	fibSrcMAC  = 52 // and the mark
	fibDstMAC  = 58
	fibSize    = 64
)

// loopbackMTU is what packets may have that no [exec.Net] knows about.
const loopbackMTU = 65536

func init() {
	register(
		&Helper{ID: 69, Name: "bpf_fib_lookup", Func: fibLookup, Asks: "routes and neighbours",
			Args: []Arg{ArgPtrToCtx, ArgPtrToMem, ArgConstSize, ArgAnything}},
		&Helper{ID: 163, Name: "bpf_check_mtu", Func: checkMTU, Asks: "interfaces",
			Args: []Arg{ArgPtrToCtx, ArgAnything, ArgPtrToInt, ArgAnything, ArgAnything}},
	)
}

// fibLookup asks the environment's network for the way of a packet, and gives
// one of BPF_FIB_LKUP_RET_*. Without a network, nothing is forwarded.
func fibLookup(s *exec.State, _, r2, r3, r4, _ uint64) uint64 {
	b := view(r2, uint64(uint32(r3)))
	flags := uint32(r4)
	if len(b) < fibSize || flags&^fibAllFlags != 0 {
		return errno.EINVAL.Ret()
	}
	var src, dst netip.Addr
	switch b[0] {
	case progtype.AFInet:
		src, dst = netip.AddrFrom4([4]byte(b[fibSrc:])), netip.AddrFrom4([4]byte(b[fibDst:]))
	case progtype.AFInet6:
		src, dst = netip.AddrFrom16([16]byte(b[fibSrc:])), netip.AddrFrom16([16]byte(b[fibDst:]))
		if neverForwarded(src) || neverForwarded(dst) {
			return exec.FIBNotForwarded
		}
	default:
		return errno.EAFNOSUPPORT.Ret()
	}
	net := s.Env.Net
	if net == nil {
		return exec.FIBForwardingDisabled
	}
	q := exec.FIBQuery{
		Ifindex: le.Uint32(b[fibIfindex:]), Src: src, Dst: dst, Proto: b[fibProto],
		TOS: b[fibTOS], Length: le.Uint16(b[fibLength:]), Egress: flags&fibOutput != 0,
	}
	if mtuOf(s, q.Ifindex) == 0 {
		return errno.ENODEV.Ret()
	}
	if flags&fibDirect != 0 && flags&fibTable != 0 {
		q.Table = le.Uint32(b[fibTableID:])
		clear(b[fibTableID:fibSrcMAC])
	}
	if flags&fibDirect == 0 && flags&fibMark != 0 {
		q.Mark = le.Uint32(b[fibSrcMAC:])
	}
	res := net.FIB(q)
	if res.Code != exec.FIBSuccess {
		return uint64(res.Code)
	}

	xdp := s.Packet.Type == ebpf.XDP
	checkLength := xdp || q.Length != 0
	if checkLength && q.Length > res.MTU {
		le.PutUint16(b[fibLength:], res.MTU)
		return exec.FIBFragmentationNeeded
	}
	if code := fibAnswer(b, flags, &res); code != exec.FIBSuccess {
		return uint64(code)
	}
	if checkLength {
		le.PutUint16(b[fibLength:], res.MTU)
		return exec.FIBSuccess
	}
	// Without a length, the packet itself must fit the interface.
	const vlan = 4
	mtu := net.MTU(res.Ifindex)
	le.PutUint16(b[fibLength:], uint16(mtu))
	if s.Packet.Len() > mtu+ethHeader+vlan && progtype.SKB(s).GSOSize == 0 {
		return exec.FIBFragmentationNeeded
	}
	return exec.FIBSuccess
}

// fibAnswer writes where the packet goes.
func fibAnswer(b []byte, flags uint32, res *exec.FIBResult) (code int) {
	le.PutUint32(b[fibTOS:], res.Metric)
	le.PutUint32(b[fibIfindex:], res.Ifindex)
	if flags&fibSource != 0 {
		if !res.Src.IsValid() {
			return exec.FIBNoSourceAddress
		}
		copy(b[fibSrc:], res.Src.AsSlice())
	}
	if gw := res.Gateway; gw.IsValid() {
		copy(b[fibDst:], gw.AsSlice())
		if gw.Is6() {
			b[0] = progtype.AFInet6
		}
	}
	if flags&fibSkipNeighbour == 0 {
		if res.NeighbourMissing {
			return exec.FIBNoNeighbour
		}
		copy(b[fibSrcMAC:], res.SrcMAC[:])
		copy(b[fibDstMAC:], res.DstMAC[:])
	}
	clear(b[fibTableID:fibSrcMAC])
	return exec.FIBSuccess
}

// neverForwarded reports whether an IPv6 address is good for one link only.
func neverForwarded(a netip.Addr) bool {
	return a.IsMulticast() || a.IsLinkLocalUnicast() || a.IsLoopback()
}

// checkMTU reports whether a packet fits an interface, or would after it grew by
// a signed number of bytes; interface 0 is the packet's own.
func checkMTU(s *exec.State, _, r2, r3, r4, r5 uint64) uint64 {
	const (
		segments                 = 1
		success, fragNeeded, big = 0, 1, 2
	)
	length := at[uint32](r3)
	diff, gso, own := int32(r4), false, uint32(0)
	if s.Packet.Type == ebpf.XDP {
		if r5 != 0 {
			return errno.EINVAL.Ret()
		}
		own = progtype.XDP(s).Ingress
	} else {
		if r5&^segments != 0 || r5 != 0 && (diff != 0 || *length != 0) {
			return errno.EINVAL.Ret()
		}
		own, gso = progtype.SKB(s).Ifindex, progtype.SKB(s).GSOSize != 0
	}
	mtu := interfaceMTU(s, own, uint32(r2))
	if mtu == 0 {
		return errno.ENODEV.Ret()
	}
	n := int32(s.Packet.Len())
	if *length != 0 {
		n = int32(*length) + ethHeader
	}
	*length = uint32(mtu)
	switch {
	case n+diff <= int32(mtu)+ethHeader:
		return success
	case !gso:
		return fragNeeded
	case r5&segments != 0 && int(progtype.SKB(s).GSOSize) > mtu:
		return big
	}
	return success
}

// mtuOf is what the network says of an interface's MTU; 0: there is none in the
// program's network namespace.
func mtuOf(s *exec.State, ifindex uint32) int {
	if s.Env.Net.NetNS(ifindex) != progtype.NetNS(s) {
		return 0
	}
	return s.Env.Net.MTU(ifindex)
}

// interfaceMTU is an interface's MTU, or 0 where there is none; interface 0 is
// the packet's own.
func interfaceMTU(s *exec.State, own, ifindex uint32) int {
	if ifindex == 0 {
		ifindex = own
	}
	if s.Env.Net != nil {
		return mtuOf(s, ifindex)
	}
	if ifindex == own {
		return loopbackMTU
	}
	return 0
}
