package helper

import (
	"encoding/binary"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// Offsets in struct bpf_tunnel_key, where shorter versions of it end.
const (
	tunnelRemote  = 4
	tunnelRemote1 = 8
	tunnelTOS     = 20
	tunnelExt     = 22
	tunnelLabel   = 24
	tunnelLocal   = 28
	tunnelSize    = 44
)

// Flags of the tunnel helpers.
const (
	tunnelIPv6      = 1 << 0
	tunnelZeroCsum  = 1 << 1
	tunnelDontFrag  = 1 << 2
	tunnelSeqNumber = 1 << 3
	tunnelFlags     = 1 << 4 // of get
	tunnelNoKey     = 1 << 4 // of set
)

func init() {
	register(
		&Helper{ID: 20, Name: "bpf_skb_get_tunnel_key", Func: getTunnelKey,
			Args: []Arg{ArgPtrToCtx, ArgPtrToUninitMem, ArgConstSize, ArgAnything}},
		&Helper{ID: 21, Name: "bpf_skb_set_tunnel_key", Func: setTunnelKey,
			Args: []Arg{ArgPtrToCtx, ArgPtrToMem, ArgConstSize, ArgAnything}},
		&Helper{ID: 29, Name: "bpf_skb_get_tunnel_opt", Func: getTunnelOption,
			Args: []Arg{ArgPtrToCtx, ArgPtrToUninitMem, ArgConstSize}},
		&Helper{ID: 30, Name: "bpf_skb_set_tunnel_opt", Func: setTunnelOption,
			Args: []Arg{ArgPtrToCtx, ArgPtrToMem, ArgConstSize}},
	)
}

// getTunnelKey gives what a tunnel device set, or [setTunnelKey], whose packet
// leaves: the remote end that it gives is the one that was set as local.
func getTunnelKey(s *exec.State, _, r2, r3, r4, _ uint64) uint64 {
	to := view(r2, uint64(uint32(r3)))
	key, err := tunnelKey(progtype.SKB(s), len(to), r4)
	if err != 0 {
		clear(to)
		return err.Ret()
	}
	copy(to, key[:])
	return 0
}

func tunnelKey(c *progtype.SKBContext, size int, flags uint64) (key [tunnelSize]byte, err errno.Errno) {
	if c.TunnelSet == 0 || flags&^(tunnelIPv6|tunnelFlags) != 0 {
		return key, errno.EINVAL
	}
	if uint64(c.TunnelIPv6) != flags&tunnelIPv6 {
		return key, errno.EPROTO
	}
	switch size {
	case tunnelSize, tunnelLocal, tunnelLabel, tunnelExt:
	case tunnelRemote1:
		if c.TunnelIPv6 != 0 {
			return key, errno.EINVAL
		}
	default:
		return key, errno.EINVAL
	}
	key = c.Tunnel
	copy(key[tunnelRemote:], c.Tunnel[tunnelLocal:tunnelLocal+16])
	copy(key[tunnelLocal:], c.Tunnel[tunnelRemote:tunnelRemote+16])
	if flags&tunnelFlags != 0 {
		binary.BigEndian.PutUint16(key[tunnelExt:], c.TunnelFlags)
	}
	return key, 0
}

func setTunnelKey(s *exec.State, _, r2, r3, r4, _ uint64) uint64 {
	const (
		flagCsum, flagKey, flagSeq  = 0x01, 0x04, 0x08
		flagDontFragment, flagCache = 0x0100, 0x2000
		labelMask                   = 0xfffff
	)
	from := view(r2, uint64(uint32(r3)))
	if r4&^(tunnelIPv6|tunnelZeroCsum|tunnelDontFrag|tunnelSeqNumber|tunnelNoKey) != 0 {
		return errno.EINVAL.Ret()
	}
	switch len(from) {
	case tunnelSize, tunnelLocal, tunnelLabel, tunnelExt, tunnelRemote1:
	default:
		return errno.EINVAL.Ret()
	}
	var key [tunnelSize]byte
	copy(key[:], from)
	label := le.Uint32(key[tunnelLabel:])
	if r4&tunnelIPv6 == 0 && label != 0 || le.Uint16(key[tunnelExt:]) != 0 {
		return errno.EINVAL.Ret()
	}
	if r4&tunnelIPv6 == 0 {
		clear(key[tunnelRemote1:tunnelTOS])
		clear(key[tunnelLocal+4:])
	}
	le.PutUint32(key[tunnelLabel:], label&labelMask)

	flags := uint16(flagCsum | flagKey | flagCache)
	if r4&tunnelZeroCsum != 0 {
		flags &^= flagCsum
	}
	if r4&tunnelNoKey != 0 {
		flags &^= flagKey
	}
	if r4&tunnelDontFrag != 0 {
		flags |= flagDontFragment
	}
	if r4&tunnelSeqNumber != 0 {
		flags |= flagSeq
	}
	c := progtype.SKB(s)
	c.Tunnel, c.TunnelFlags, c.TunnelIPv6, c.TunnelSet = key, flags, uint8(r4&tunnelIPv6), 1
	c.TunnelPorts, c.XfrmSet = [4]byte{}, 0
	s.TunnelOptions = s.TunnelOptions[:0]
	return 0
}

// tunnelOptions are the flags that say that a key has options, whatever the tunnel:
// those of GENEVE, VXLAN, ERSPAN and GTP.
const tunnelOptions = 0x0800 | 0x1000 | 0x4000 | 0x8000

// getTunnelOption gives the options that [setTunnelOption] set, and their length.
func getTunnelOption(s *exec.State, _, r2, r3, _, _ uint64) uint64 {
	to := view(r2, uint64(uint32(r3)))
	clear(to)
	c := progtype.SKB(s)
	if c.TunnelSet == 0 || c.TunnelFlags&tunnelOptions == 0 {
		return errno.ENOENT.Ret()
	}
	if len(to) < len(s.TunnelOptions) {
		return errno.ENOMEM.Ret()
	}
	return uint64(copy(to, s.TunnelOptions))
}

// setTunnelOption adds options, such as GENEVE's, to the key that was set before.
func setTunnelOption(s *exec.State, _, r2, r3, _, _ uint64) uint64 {
	const longest = 255 // bytes (IP_TUNNEL_OPTS_MAX)
	from := view(r2, uint64(uint32(r3)))
	c := progtype.SKB(s)
	switch {
	case c.TunnelSet == 0 || len(from)%4 != 0:
		return errno.EINVAL.Ret()
	case len(from) > longest:
		return errno.ENOMEM.Ret()
	}
	s.TunnelOptions = append(s.TunnelOptions[:0], from...)
	if len(from) > 0 {
		c.TunnelFlags |= tunnelOptions
	}
	return 0
}
