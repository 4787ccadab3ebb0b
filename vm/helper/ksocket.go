package helper

import (
	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// Kernel functions that change sockets. What they do is noted, and nothing done.

func init() {
	registerKfuncs("6.5",
		&Helper{Name: "bpf_sock_destroy", Func: sockDestroy, Types: []ebpf.ProgramType{ebpf.Tracing}, Asks: asksSockets,
			Args: []Arg{ArgPtrToBTF}},
	)
	registerKfuncs("6.7",
		&Helper{Name: "bpf_sock_addr_set_sun_path", Func: setSunPath, Types: []ebpf.ProgramType{ebpf.CGroupSockAddr},
			Args: []Arg{ArgPtrToBTF, ArgPtrToMem, ArgConstSizeOrZero}},
	)
	registerKfuncs("6.9",
		&Helper{Name: "bpf_sk_assign_tcp_reqsk", Func: assignRequest, Types: kfuncsTC, Asks: asksSockets,
			Args: []Arg{ArgPtrToCtx, ArgPtrToBTF, ArgPtrToMem, ArgConstSizeOrZero}},
	)
	registerKfuncs("6.15",
		&Helper{Name: "bpf_sock_ops_enable_tx_tstamp", Func: enableTxTstamp, Types: []ebpf.ProgramType{ebpf.SockOps},
			Args: []Arg{ArgPtrToBTF, ArgAnything}},
	)
}

// setSunPath gives the address of a Unix socket another path.
func setSunPath(s *exec.State, _, r2, r3, _, _ uint64) uint64 {
	const longest = 108 // UNIX_PATH_MAX
	k, n := s.ContextSocket(), uint32(r3)
	if k == nil || k.Family != progtype.AFUnix || n == 0 || n > longest {
		return result32(negative(errno.EINVAL))
	}
	s.Effects = append(s.Effects, exec.Effect{What: progtype.SetSunPath, Text: string(view(r2, uint64(n)))})
	return 0
}

// assignRequest makes a packet the last of a handshake that the program answered with a
// SYN cookie: the listening socket takes the connection.
func assignRequest(s *exec.State, _, r2, r3, r4, _ uint64) uint64 {
	const (
		size, atMSS, atRcvScale, atSndScale = 20, 8, 10, 11 // struct bpf_tcp_req_attrs
		atWscaleOK, atReserved              = 13, 17
		maxScale                            = 14
		minMSS, minMSS6                     = 536, 1280 - 60
		stream                              = 1 // SOCK_STREAM
	)
	invalid := result32(negative(errno.EINVAL))
	c, attrs := progtype.SKB(s), view(r3, uint64(uint32(r4)))
	if len(attrs) != size || [3]byte(attrs[atReserved:]) != [3]byte{} || c.AtIngress == 0 {
		return invalid
	}
	k := socketOf(s, r2)
	if k == nil {
		return invalid
	}
	if k.NetNS != 0 {
		return result32(negative(errno.ENETUNREACH))
	}
	mss := le.Uint16(attrs[atMSS:])
	switch {
	case c.Protocol != progtype.ProtoIP && c.Protocol != progtype.ProtoIPv6,
		k.Type != stream || k.State != exec.TCPListen,
		c.Protocol == progtype.ProtoIP && mss < minMSS, c.Protocol == progtype.ProtoIPv6 && mss < minMSS6,
		attrs[atWscaleOK] != 0 && max(attrs[atSndScale], attrs[atRcvScale]) > maxScale:
		return invalid
	}
	c.Socket = k.SockAddr()
	s.Act("sk_assign_tcp_reqsk", k.Cookie, uint64(mss))
	return 0
}

// enableTxTstamp asks for the times at which what is being sent leaves.
func enableTxTstamp(s *exec.State, _, r2, _, _, _ uint64) uint64 {
	const sendmsg = 20 // BPF_SOCK_OPS_TSTAMP_SENDMSG_CB
	switch {
	case le.Uint32(progtype.Seen(s)[opsOp:]) != sendmsg:
		return result32(negative(errno.EOPNOTSUPP))
	case r2 != 0:
		return result32(negative(errno.EINVAL))
	}
	s.Act("sock_ops_enable_tx_tstamp")
	return 0
}

// sockDestroy closes a socket of somebody else's, who finds ECONNABORTED.
func sockDestroy(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	const closed = 7 // TCP_CLOSE
	k := s.SocketAt(r1)
	switch {
	case k == nil, k.Protocol != exec.ProtoTCP && k.Protocol != exec.ProtoUDP:
		return result32(negative(errno.EOPNOTSUPP))
	case k.IsTCP() && k.State == closed:
		return result32(negative(errno.ENOENT))
	}
	s.Act("sock_destroy", k.Cookie)
	return 0
}
