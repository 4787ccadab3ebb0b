package helper

import (
	"net/netip"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// The verdicts of traffic control that helpers give.
const (
	tcShot     = 2
	tcRedirect = 7
)

// redirectIngress sends a packet into an interface rather than out of it.
const redirectIngress = 1

func init() {
	register(
		&Helper{ID: 13, Name: "bpf_clone_redirect", Func: cloneRedirect, MovesPacket: true,
			Args: []Arg{ArgPtrToCtx, ArgAnything, ArgAnything}},
		&Helper{ID: 23, Name: "bpf_redirect", Func: redirect,
			Args: []Arg{ArgAnything, ArgAnything}},
		&Helper{ID: 152, Name: "bpf_redirect_neigh", Func: redirectNeigh,
			Args: []Arg{ArgAnything, ArgPtrToMemOrNull, ArgConstSizeOrZero, ArgAnything}},
		&Helper{ID: 155, Name: "bpf_redirect_peer", Func: redirectPeer,
			Args: []Arg{ArgAnything, ArgAnything}},
	)
}

func redirect(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
	if s.Packet.Type == ebpf.XDP {
		if r2 != 0 {
			return xdpAborted
		}
		s.Redirect = exec.Redirect{Kind: exec.RedirectInterface, Ifindex: uint32(r1)}
		return xdpRedirect
	}
	if r2&^redirectIngress != 0 {
		return tcShot
	}
	s.Redirect = exec.Redirect{Kind: exec.RedirectInterface, Ifindex: uint32(r1), Flags: r2}
	return tcRedirect
}

func redirectPeer(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
	if r2 != 0 {
		return tcShot
	}
	s.Redirect = exec.Redirect{Kind: exec.RedirectPeer, Ifindex: uint32(r1)}
	return tcRedirect
}

// redirectNeigh sends the packet to an interface and lets the network fill in the
// Ethernet addresses, of the next hop where the program names one (struct
// bpf_redir_neigh).
func redirectNeigh(s *exec.State, r1, r2, r3, r4, _ uint64) uint64 {
	const neighSize = 20
	params := view(r2, uint64(uint32(r3)))
	if len(params) > 0 && len(params) < neighSize || r4 != 0 {
		return tcShot
	}
	r := exec.Redirect{Kind: exec.RedirectNeigh, Ifindex: uint32(r1)}
	if len(params) > 0 {
		switch le.Uint32(params) {
		case progtype.AFInet:
			r.Nexthop = netip.AddrFrom4([4]byte(params[4:]))
		case progtype.AFInet6:
			r.Nexthop = netip.AddrFrom16([16]byte(params[4:]))
		}
	}
	s.Redirect = r
	return tcRedirect
}

// cloneRedirect sends a copy of the packet at once.
func cloneRedirect(s *exec.State, _, r2, r3, _, _ uint64) uint64 {
	ifindex := uint32(r2)
	if r3&^redirectIngress != 0 || s.Env.Net != nil && mtuOf(s, ifindex) == 0 {
		return errno.EINVAL.Ret()
	}
	if s.Env.Clone != nil {
		s.Env.Clone(s, ifindex, r3)
	}
	return 0
}
