package attached

import (
	"fmt"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/internal/testenv"
)

// option is a call of bpf_setsockopt or bpf_getsockopt with 4 bytes.
func option(helper asm.BuiltinFunc, level, name, value int32) asm.Instructions {
	return asm.Instructions{
		asm.StoreImm(asm.RFP, -8, int64(value), asm.Word),
		asm.Mov.Reg(asm.R1, asm.R6), asm.Mov.Imm(asm.R2, level), asm.Mov.Imm(asm.R3, name),
		asm.Mov.Reg(asm.R4, asm.RFP), asm.Add.Imm(asm.R4, -8), asm.Mov.Imm(asm.R5, 4),
		helper.Call(),
	}
}

// Options of linux/tcp.h and linux/bpf.h that package unix does not have.
const (
	tcpSavedSyn                                                 = 28
	tcpBPFIW, tcpBPFSndCwndClamp, tcpBPFDelackMax, tcpBPFRTOMin = 1001, 1002, 1003, 1004
	tcpBPFSockOpsCallbacks                                      = 1008
)

// optionCases are options of a TCP socket, and what a program sets each to.
var optionCases = []struct {
	name          string
	family        int
	level, option int32
	values        []int32
}{
	{"SO_RCVLOWAT", unix.AF_INET, unix.SOL_SOCKET, unix.SO_RCVLOWAT, []int32{5, 0}},
	{"SO_REUSEADDR", unix.AF_INET, unix.SOL_SOCKET, unix.SO_REUSEADDR, []int32{1, 0, 7}},
	{"SO_SNDBUF", unix.AF_INET, unix.SOL_SOCKET, unix.SO_SNDBUF, []int32{5000, 1, 100000, -1}},
	{"SO_RCVBUF", unix.AF_INET, unix.SOL_SOCKET, unix.SO_RCVBUF, []int32{5000, 1, 100000}},
	{"SO_KEEPALIVE", unix.AF_INET, unix.SOL_SOCKET, unix.SO_KEEPALIVE, []int32{1, 0, 9}},
	{"SO_PRIORITY", unix.AF_INET, unix.SOL_SOCKET, unix.SO_PRIORITY, []int32{3, 100, -1}},
	{"SO_MARK", unix.AF_INET, unix.SOL_SOCKET, unix.SO_MARK, []int32{7, -1}},
	{"SO_MAX_PACING_RATE", unix.AF_INET, unix.SOL_SOCKET, unix.SO_MAX_PACING_RATE, []int32{1000, -1}},
	{"SO_BINDTOIFINDEX", unix.AF_INET, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, []int32{-1, 0, 1}},
	{"SO_TXREHASH", unix.AF_INET, unix.SOL_SOCKET, unix.SO_TXREHASH, []int32{0, 1, 2, -1}},
	{"SO_REUSEPORT", unix.AF_INET, unix.SOL_SOCKET, unix.SO_REUSEPORT, []int32{1, 0, 2}},
	{"SK_BPF_CB_FLAGS", unix.AF_INET, unix.SOL_SOCKET, 1009, []int32{1, 2, -1}},
	{"TCP_RTO_MAX_MS", unix.AF_INET, unix.SOL_TCP, 44, []int32{1000, 999, 120000, 120001}},
	{"IP_TOS that is a priority", unix.AF_INET, unix.SOL_IP, unix.IP_TOS, []int32{0x18}},
	{"SO_LINGER", unix.AF_INET, unix.SOL_SOCKET, unix.SO_LINGER, []int32{1}},
	{"IP_TOS", unix.AF_INET, unix.SOL_IP, unix.IP_TOS, []int32{8, 0x1ff, 3, -1}},
	{"IP_TTL", unix.AF_INET, unix.SOL_IP, unix.IP_TTL, []int32{8}},
	{"IPV6_TCLASS", unix.AF_INET6, unix.SOL_IPV6, unix.IPV6_TCLASS, []int32{8, 255, 256, -1, -2}},
	{"IPV6_TCLASS of IPv4", unix.AF_INET, unix.SOL_IPV6, unix.IPV6_TCLASS, []int32{8}},
	{"IPV6_AUTOFLOWLABEL", unix.AF_INET6, unix.SOL_IPV6, 70, []int32{0, 1, 5}},
	{"IP_TOS of IPv6", unix.AF_INET6, unix.SOL_IP, unix.IP_TOS, []int32{8}},
	{"TCP_NODELAY", unix.AF_INET, unix.SOL_TCP, unix.TCP_NODELAY, []int32{1, 0, 5}},
	{"TCP_MAXSEG", unix.AF_INET, unix.SOL_TCP, unix.TCP_MAXSEG, []int32{1000, 47, 88, 40000, 0}},
	{"TCP_KEEPIDLE", unix.AF_INET, unix.SOL_TCP, unix.TCP_KEEPIDLE, []int32{5, 0, 32767, 32768}},
	{"TCP_KEEPINTVL", unix.AF_INET, unix.SOL_TCP, unix.TCP_KEEPINTVL, []int32{5, 0, 32767, 32768}},
	{"TCP_KEEPCNT", unix.AF_INET, unix.SOL_TCP, unix.TCP_KEEPCNT, []int32{5, 0, 127, 128}},
	{"TCP_SYNCNT", unix.AF_INET, unix.SOL_TCP, unix.TCP_SYNCNT, []int32{5, 0, 127, 128}},
	{"TCP_WINDOW_CLAMP", unix.AF_INET, unix.SOL_TCP, unix.TCP_WINDOW_CLAMP, []int32{100000, 1, 0}},
	{"TCP_THIN_LINEAR_TIMEOUTS", unix.AF_INET, unix.SOL_TCP, unix.TCP_THIN_LINEAR_TIMEOUTS, []int32{1}},
	{"TCP_USER_TIMEOUT", unix.AF_INET, unix.SOL_TCP, unix.TCP_USER_TIMEOUT, []int32{5, 0, -1}},
	{"TCP_NOTSENT_LOWAT", unix.AF_INET, unix.SOL_TCP, unix.TCP_NOTSENT_LOWAT, []int32{5000, 0}},
	{"TCP_SAVE_SYN", unix.AF_INET, unix.SOL_TCP, unix.TCP_SAVE_SYN, []int32{1, 2, 3, -1}},
	{"TCP_SAVED_SYN", unix.AF_INET, unix.SOL_TCP, tcpSavedSyn, []int32{1}},
	{"TCP_BPF_IW", unix.AF_INET, unix.SOL_TCP, tcpBPFIW, []int32{20, 0}},
	{"TCP_BPF_SNDCWND_CLAMP", unix.AF_INET, unix.SOL_TCP, tcpBPFSndCwndClamp, []int32{20, 0}},
	{"TCP_BPF_DELACK_MAX", unix.AF_INET, unix.SOL_TCP, tcpBPFDelackMax, []int32{20000, 1, 8000, 8001, 300000}},
	{"TCP_BPF_RTO_MIN", unix.AF_INET, unix.SOL_TCP, tcpBPFRTOMin, []int32{20000, 1, 8000, 8001, 300000}},
	{"TCP_BPF_SOCK_OPS_CB_FLAGS", unix.AF_INET, unix.SOL_TCP, tcpBPFSockOpsCallbacks, []int32{3, 0x80, 0}},
	{"no such option", unix.AF_INET, unix.SOL_TCP, 99, []int32{1}},
	{"no such level", unix.AF_INET, 99, 1, []int32{1}},
}

// TestSocketOptions sets options and asks for them, in programs at a connection that
// this process makes.
func TestSocketOptions(t *testing.T) {
	testenv.KernelFollowed(t, "programs can set other options there, with other limits")
	g := ownGroup(t)
	for name, family := range map[string]int{"IPv4": unix.AF_INET, "IPv6": unix.AF_INET6} {
		t.Run(name, func(t *testing.T) {
			network(t)
			at := ebpf.AttachCGroupInet4Connect
			if family == unix.AF_INET6 {
				at = ebpf.AttachCGroupInet6Connect
			}
			w := watcher{prog: ebpf.CGroupSockAddr, attach: at, returns: 1}
			for _, c := range optionCases {
				if c.family != family {
					continue
				}
				w.asks = append(w.asks, ask{c.name + " at first", option(asm.FnGetsockopt, c.level, c.option, 0x55555555)})
				for _, v := range c.values {
					w.asks = append(w.asks,
						ask{fmt.Sprintf("%s set to %d", c.name, v), option(asm.FnSetsockopt, c.level, c.option, v)},
						ask{fmt.Sprintf("%s then, of %d", c.name, v), option(asm.FnGetsockopt, c.level, c.option, 0x55555555)})
				}
			}
			h := connectTo(unix.SOCK_STREAM)(t, families[family])
			linux := w.inLinux(t, g.attach(at), func() { _, _ = h.do() })
			if len(linux) != 1 {
				t.Fatalf("the program ran %d times", len(linux))
			}
			machine, _ := w.inMachine(t, &event{fields: h.fields(w.typ(t)), world: g.world(h.socket)})
			same(t, linux[0], machine)
			if family == unix.AF_INET {
				linux[0].holds(t, map[string]uint64{"SO_KEEPALIVE then, of 9 left": 1, "TCP_KEEPIDLE at first left": 7200, "TCP_BPF_IW set to 20": 0})
			}
		})
	}
}
