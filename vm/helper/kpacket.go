package helper

import (
	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// Kernel functions on packets, and on what the stack keeps beside a packet.

var (
	kfuncsTC  = []ebpf.ProgramType{ebpf.SchedCLS}
	kfuncsAct = []ebpf.ProgramType{ebpf.SchedCLS, ebpf.SchedACT}
)

func init() {
	registerKfuncs("6.2", only(kfuncsTC,
		&Helper{Name: "bpf_skb_get_xfrm_info", Func: getXfrmInfo, FixedSize: 8, Args: []Arg{ArgPtrToCtx, ArgPtrToFixedMem}},
		&Helper{Name: "bpf_skb_set_xfrm_info", Func: setXfrmInfo, FixedSize: 8, Args: []Arg{ArgPtrToCtx, ArgPtrToFixedMem}},
	)...)
	registerKfuncs("6.4", only(kfuncsTC,
		&Helper{Name: "bpf_skb_set_fou_encap", Func: setFouEncap, FixedSize: 4, Args: []Arg{ArgPtrToCtx, ArgPtrToFixedMem, ArgAnything}},
		&Helper{Name: "bpf_skb_get_fou_encap", Func: getFouEncap, FixedSize: 4, Args: []Arg{ArgPtrToCtx, ArgPtrToFixedMem}},
	)...)
	registerKfuncs("6.18",
		&Helper{Name: "bpf_xdp_pull_data", Func: xdpPullData, Types: kfuncsXDP, MovesPacket: true,
			Args: []Arg{ArgPtrToCtx, ArgAnything}},
		&Helper{Name: "bpf_dynptr_from_skb_meta", Func: dynptrFromMeta, Types: kfuncsAct,
			Args: []Arg{ArgPtrToCtx, ArgAnything, ArgPtrToUninitSlot}},
	)
}

// xdpPullData brings the packet's first r2 bytes into direct reach. What the room behind
// the first part does not take, moves it to the front.
func xdpPullData(s *exec.State, _, r2, _, _, _ uint64) uint64 {
	p := &s.Packet
	want, have := int(uint32(r2)), int(p.DataEnd-p.Data)
	if want <= have {
		return 0
	}
	first := p.Data
	if p.Meta != 0 {
		first = p.Meta
	}
	headroom, tailroom := int(first-p.HardStart)-progtype.XDPFrameSize, int(p.HardEnd-p.DataEnd)
	more := want - have
	if want > p.Len() || more > headroom+tailroom {
		return result32(negative(errno.EINVAL))
	}
	if shift := uintptr(max(more-tailroom, 0)); shift > 0 { // the fragments lie right behind
		n := int(p.DataEnd-first) + p.Paged
		copy(mem.View(first-shift, n), mem.View(first, n))
		p.Data -= shift
		p.DataEnd -= shift
		if p.Meta != 0 {
			p.Meta -= shift
		}
	}
	p.DataEnd += uintptr(more)
	p.Paged -= more
	p.Pulled += more
	if p.Paged == 0 {
		p.Pulled = 0
	}
	s.PacketMoved()
	return 0
}

// dynptrFromMeta makes a dynptr of the packet's metadata.
func dynptrFromMeta(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	d := dynptrAt(r3)
	*d = dynptr{}
	if r2 != 0 {
		return result32(negative(errno.EINVAL))
	}
	*d = dynptr{data: r1, size: dynptrMeta | uint32(s.Packet.Data-s.Packet.Meta)}
	return 0
}

// setFouEncap adds the ports of FOU or GUE to the tunnel key that was set before.
func setFouEncap(s *exec.State, _, r2, _, _, _ uint64) uint64 {
	c := progtype.SKB(s)
	if c.TunnelSet == 0 {
		return result32(negative(errno.EINVAL))
	}
	copy(c.TunnelPorts[:], view(r2, 4))
	return 0
}

func getFouEncap(s *exec.State, _, r2, _, _, _ uint64) uint64 {
	c := progtype.SKB(s)
	if c.TunnelSet == 0 {
		return result32(negative(errno.EINVAL))
	}
	copy(view(r2, 4), c.TunnelPorts[:])
	return 0
}

// setXfrmInfo says by which IPsec interface a packet leaves. A packet has either this or
// a tunnel key.
func setXfrmInfo(s *exec.State, _, r2, _, _, _ uint64) uint64 {
	c := progtype.SKB(s)
	if c.TunnelSet != 0 || c.XfrmSet != 0 {
		return result32(negative(errno.EINVAL))
	}
	copy(c.Xfrm[:], view(r2, 8))
	c.XfrmSet = 1
	return 0
}

func getXfrmInfo(s *exec.State, _, r2, _, _, _ uint64) uint64 {
	c := progtype.SKB(s)
	if c.XfrmSet == 0 {
		return result32(negative(errno.EINVAL))
	}
	copy(view(r2, 8), c.Xfrm[:])
	return 0
}
