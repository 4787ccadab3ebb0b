package helper

import (
	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/maps"
	"github.com/skep-ebpf/skep/vm/progtype"
)

const ethHeader = 14 // bytes of an Ethernet header

// The verdicts of XDP programs that helpers give.
const (
	xdpAborted  = 0
	xdpRedirect = 4
)

func init() {
	register(
		&Helper{ID: 44, Name: "bpf_xdp_adjust_head", Func: xdpAdjustHead,
			Args: []Arg{ArgPtrToCtx, ArgAnything}, MovesPacket: true},
		&Helper{ID: 51, Name: "bpf_redirect_map", Func: xdpRedirectMap,
			Args: []Arg{ArgConstMapPtr, ArgAnything, ArgAnything}},
		&Helper{ID: 54, Name: "bpf_xdp_adjust_meta", Func: xdpAdjustMeta,
			Args: []Arg{ArgPtrToCtx, ArgAnything}, MovesPacket: true},
		&Helper{ID: 65, Name: "bpf_xdp_adjust_tail", Func: xdpAdjustTail,
			Args: []Arg{ArgPtrToCtx, ArgAnything}, MovesPacket: true},
		&Helper{ID: 188, Name: "bpf_xdp_get_buff_len", Func: xdpBuffLen,
			Args: []Arg{ArgPtrToCtx}},
		&Helper{ID: 189, Name: "bpf_xdp_load_bytes", Func: xdpLoadBytes,
			Args: []Arg{ArgPtrToCtx, ArgAnything, ArgPtrToUninitMem, ArgConstSize}},
		&Helper{ID: 190, Name: "bpf_xdp_store_bytes", Func: xdpStoreBytes,
			Args: []Arg{ArgPtrToCtx, ArgAnything, ArgPtrToMem, ArgConstSize}},
	)
}

// xdpAdjustHead moves the packet's beginning by a signed number of bytes; the
// metadata moves along.
func xdpAdjustHead(s *exec.State, _, r2, _, _, _ uint64) uint64 {
	p := &s.Packet
	offset := uintptr(int32(r2))
	metalen := p.Data - p.Meta
	data := p.Data + offset
	if data < p.HardStart+progtype.XDPFrameSize+metalen || data > p.DataEnd-ethHeader {
		return errno.EINVAL.Ret()
	}
	if metalen > 0 {
		copy(mem.View(p.Meta+offset, int(metalen)), mem.View(p.Meta, int(metalen)))
	}
	p.Meta += offset
	p.Data = data
	s.PacketMoved()
	return 0
}

// xdpAdjustMeta moves the metadata's beginning by a signed number of bytes.
func xdpAdjustMeta(s *exec.State, _, r2, _, _, _ uint64) uint64 {
	p := &s.Packet
	meta := p.Meta + uintptr(int32(r2))
	if meta < p.HardStart+progtype.XDPFrameSize || meta > p.Data {
		return errno.EINVAL.Ret()
	}
	if n := p.Data - meta; n%4 != 0 || n > progtype.XDPMaxMeta {
		return errno.EACCES.Ret()
	}
	p.Meta = meta
	s.PacketMoved()
	return 0
}

// xdpAdjustTail moves the packet's end by a signed number of bytes; what it
// grows by is zero.
func xdpAdjustTail(s *exec.State, _, r2, _, _, _ uint64) uint64 {
	p := &s.Packet
	if p.Paged > 0 {
		return xdpAdjustPages(s, int(int32(r2)))
	}
	end := p.DataEnd + uintptr(int32(r2))
	if end > p.HardEnd || end < p.Data+ethHeader {
		return errno.EINVAL.Ret()
	}
	if end > p.DataEnd {
		clear(mem.View(p.DataEnd, int(end-p.DataEnd)))
	}
	p.DataEnd = end
	s.PacketMoved()
	return 0
}

// xdpAdjustPages is xdpAdjustTail for a packet with fragments: it grows in the
// last one's page, and shrinks over as many as it must.
func xdpAdjustPages(s *exec.State, by int) uint64 {
	p := &s.Packet
	switch {
	case by > 0 && by > (progtype.PageSize-(p.Pulled+p.Paged)%progtype.PageSize)%progtype.PageSize:
		return errno.EINVAL.Ret()
	case by < 0 && -by > p.Len()-ethHeader:
		return errno.EINVAL.Ret()
	case by > 0:
		clear(mem.View(p.Data+uintptr(p.Len()), by))
	}
	p.Paged += by
	if p.Paged <= 0 {
		p.DataEnd -= uintptr(-p.Paged)
		p.Paged, p.Pulled = 0, 0
	}
	s.PacketMoved()
	return 0
}

func xdpBuffLen(s *exec.State, _, _, _, _, _ uint64) uint64 { return uint64(s.Packet.Len()) }

func xdpLoadBytes(s *exec.State, _, r2, r3, r4, _ uint64) uint64 {
	part, err := xdpBytes(s, uint32(r2), uint32(r4))
	if err != 0 {
		return err.Ret()
	}
	copy(view(r3, uint64(len(part))), part)
	return 0
}

func xdpStoreBytes(s *exec.State, _, r2, r3, r4, _ uint64) uint64 {
	part, err := xdpBytes(s, uint32(r2), uint32(r4))
	if err != 0 {
		return err.Ret()
	}
	copy(part, view(r3, uint64(len(part))))
	return 0
}

// xdpBytes is n bytes of the packet from offset on.
func xdpBytes(s *exec.State, offset, n uint32) ([]byte, errno.Errno) {
	packet := s.Packet.Bytes()
	switch {
	case offset > 0xffff || n > 0xffff:
		return nil, errno.EFAULT
	case int(offset+n) > len(packet):
		return nil, errno.EINVAL
	}
	return packet[offset : offset+n], 0
}

// Flags of bpf_redirect_map beside the verdict for a key that is not there.
const (
	broadcast      = 1 << 3
	excludeIngress = 1 << 4
)

func xdpRedirectMap(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	const verdicts = 3
	m := mapOf(r1)
	targets, ok := m.(maps.Targets)
	if !ok {
		return xdpAborted
	}
	allowed := uint64(verdicts)
	if typ := m.Info().Type; typ == ebpf.DevMap || typ == ebpf.DevMapHash {
		allowed |= broadcast | excludeIngress
	}
	if r3&^allowed != 0 {
		return xdpAborted
	}
	t, ok := targets.Target(r2)
	if !ok && r3&broadcast == 0 {
		s.Redirect = exec.Redirect{}
		return r3 & verdicts
	}
	s.Redirect = exec.Redirect{
		Kind: exec.RedirectMap, Ifindex: t.To, Prog: t.Prog, Map: m.Info().Handle, Key: r2, Flags: r3,
	}
	return xdpRedirect
}
