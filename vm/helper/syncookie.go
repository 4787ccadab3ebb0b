package helper

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// SYN cookies in the shape of Linux's: a hash of the connection, the minute, and
// in the lower 24 bits which of four segment sizes fits. The secret is the same in
// every run, so that runs can be repeated; cookies are no protection here.
// Listening sockets give cookies always, as with net.ipv4.tcp_syncookies=2.

func init() {
	headers := []Arg{ArgPtrToSocket, ArgPtrToMem, ArgConstSize, ArgPtrToMem, ArgConstSize}
	register(
		&Helper{ID: 100, Name: "bpf_tcp_check_syncookie", Func: checkSynCookie, Args: headers, Asks: asksSockets},
		&Helper{ID: 110, Name: "bpf_tcp_gen_syncookie", Func: genSynCookie, Args: headers, Asks: asksSockets},
		&Helper{ID: 204, Name: "bpf_tcp_raw_gen_syncookie_ipv4", Func: rawGen(ipv4Header), FixedSize: ipv4Header,
			Args: []Arg{ArgPtrToFixedMem, ArgPtrToMem, ArgConstSize}},
		&Helper{ID: 205, Name: "bpf_tcp_raw_gen_syncookie_ipv6", Func: rawGen(ipv6Header), FixedSize: ipv6Header,
			Args: []Arg{ArgPtrToFixedMem, ArgPtrToMem, ArgConstSize}},
		&Helper{ID: 206, Name: "bpf_tcp_raw_check_syncookie_ipv4", Func: rawCheck4,
			Args: []Arg{ArgPtrToFixedMem, ArgPtrToTCPHeader}, FixedSize: ipv4Header},
		&Helper{ID: 207, Name: "bpf_tcp_raw_check_syncookie_ipv6", Func: rawCheck6,
			Args: []Arg{ArgPtrToFixedMem, ArgPtrToTCPHeader}, FixedSize: ipv6Header},
	)
}

// Offsets and flags of a TCP header.
const (
	tcpHeader  = 20
	tcpSeq     = 4
	tcpAckSeq  = 8
	tcpDataOff = 12
	tcpFlags   = 13

	flagFIN, flagSYN, flagRST, flagACK = 1, 2, 4, 16
)

// The segment sizes that cookies tell apart.
var (
	mssIPv4 = []uint16{536, 1300, 1440, 1460}
	mssIPv6 = []uint16{1280 - 60, 1480 - 60, 1500 - 60, 9000 - 60}
)

const (
	cookieBits = 24
	cookieMask = 1<<cookieBits - 1
	cookieAge  = 2 // minutes that a cookie is good for
	defaultMSS = 536
)

// flowHash is the hash of a connection at a minute; c makes two hashes of one.
func flowHash(ip, tcp []byte, minute uint32, c byte) uint32 {
	text := append([]byte("skep SYN cookie"), c)
	if len(ip) == ipv4Header {
		text = append(text, ip[12:20]...)
	} else {
		text = append(text, ip[8:40]...)
	}
	text = append(text, tcp[:4]...)
	sum := sha256.Sum256(le.AppendUint32(text, minute))
	return le.Uint32(sum[:])
}

func sizesFor(ip []byte) []uint16 {
	if len(ip) == ipv4Header {
		return mssIPv4
	}
	return mssIPv6
}

func minutes(s *exec.State) uint32 { return uint32(s.Env.Now() / time.Minute) }

// makeCookie gives a cookie with the segment size that it stands for above it.
func makeCookie(s *exec.State, ip, tcp []byte, mss uint16) uint64 {
	sizes := sizesFor(ip)
	i := len(sizes) - 1
	for i > 0 && mss < sizes[i] {
		i--
	}
	minute := minutes(s)
	cookie := flowHash(ip, tcp, 0, 0) + binary.BigEndian.Uint32(tcp[tcpSeq:]) + minute<<cookieBits +
		(flowHash(ip, tcp, minute, 1)+uint32(i))&cookieMask
	return uint64(cookie) | uint64(sizes[i])<<32
}

// cookieOf reports whether the packet acknowledges a cookie of its connection.
func goodCookie(s *exec.State, ip, tcp []byte) bool {
	cookie := binary.BigEndian.Uint32(tcp[tcpAckSeq:]) - 1
	cookie -= flowHash(ip, tcp, 0, 0) + binary.BigEndian.Uint32(tcp[tcpSeq:]) - 1
	minute := minutes(s)
	age := (minute - cookie>>cookieBits) & (1<<(32-cookieBits) - 1)
	if age >= cookieAge {
		return false
	}
	i := (cookie - flowHash(ip, tcp, minute-age, 1)) & cookieMask
	return i < uint32(len(sizesFor(ip)))
}

// segmentSize is the MSS option of a TCP header, or 0.
func segmentSize(tcp []byte) uint16 {
	const end, noop, mss = 0, 1, 2
	for opts := tcp[tcpHeader:]; len(opts) > 0; {
		switch {
		case opts[0] == end:
			return 0
		case opts[0] == noop:
			opts = opts[1:]
			continue
		case len(opts) < 2 || opts[1] < 2 || int(opts[1]) > len(opts):
			return 0
		case opts[0] == mss && opts[1] == 4:
			return binary.BigEndian.Uint16(opts[2:])
		}
		opts = opts[opts[1]:]
	}
	return 0
}

// headerFits reports whether a TCP header is as long as it says.
func headerFits(tcp []byte) bool {
	return len(tcp) >= tcpHeader && len(tcp) == int(tcp[tcpDataOff]>>4)*4
}

func rawGen(header uint64) Func {
	return func(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
		tcp := view(r2, uint64(uint32(r3)))
		if !headerFits(tcp) {
			return errno.EINVAL.Ret()
		}
		mss := segmentSize(tcp)
		if mss == 0 {
			mss = defaultMSS
		}
		return makeCookie(s, view(r1, header), tcp, mss)
	}
}

func rawCheck(s *exec.State, ip, tcp []byte) uint64 {
	if !goodCookie(s, ip, tcp) {
		return errno.EACCES.Ret()
	}
	return 0
}

func rawCheck4(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
	return rawCheck(s, view(r1, ipv4Header), view(r2, tcpHeader))
}

func rawCheck6(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
	return rawCheck(s, view(r1, ipv6Header), view(r2, tcpHeader))
}

// cookieHeaders holds what both helpers for listening sockets check. The IP header
// that it gives is without options.
func cookieHeaders(s *exec.State, sk uint64, ip, tcp []byte) ([]byte, errno.Errno) {
	k := socketOf(s, sk)
	if k == nil || len(tcp) < tcpHeader || !k.IsTCP() || k.State != exec.TCPListen {
		return nil, errno.EINVAL
	}
	if len(ip) < ipv4Header {
		return nil, errno.EINVAL
	}
	switch {
	case ip[0]>>4 == 4:
		return ip[:ipv4Header], 0
	case ip[0]>>4 == 6 && len(ip) >= ipv6Header && k.Family == progtype.AFInet6:
		return ip[:ipv6Header], 0
	case ip[0]>>4 == 6:
		return nil, errno.EINVAL
	}
	return nil, errno.EPROTONOSUPPORT
}

func checkSynCookie(s *exec.State, r1, r2, r3, r4, r5 uint64) uint64 {
	tcp := view(r4, uint64(uint32(r5)))
	ip, err := cookieHeaders(s, r1, view(r2, uint64(uint32(r3))), tcp)
	if err != 0 {
		return err.Ret()
	}
	if tcp[tcpFlags]&(flagACK|flagRST|flagSYN) != flagACK || !goodCookie(s, ip, tcp) {
		return errno.ENOENT.Ret()
	}
	return 0
}

func genSynCookie(s *exec.State, r1, r2, r3, r4, r5 uint64) uint64 {
	tcp := view(r4, uint64(uint32(r5)))
	ip, err := cookieHeaders(s, r1, view(r2, uint64(uint32(r3))), tcp)
	if err != 0 {
		return err.Ret()
	}
	if !headerFits(tcp) || tcp[tcpFlags]&(flagSYN|flagACK|flagFIN|flagRST) != flagSYN {
		return errno.EINVAL.Ret()
	}
	mss := segmentSize(tcp)
	return makeCookie(s, ip, tcp, max(mss, slices.Min(sizesFor(ip))))
}
