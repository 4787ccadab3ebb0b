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

// optionsSince are the versions that first have options as the machine has them: the
// limits of buffers are what a system is set to, and grew.
var optionsSince = map[string][2]int{
	"SO_SNDBUF": {6, 18}, "SO_RCVBUF": {6, 18}, "SO_RCVLOWAT": {6, 18}, "SO_REUSEPORT": {6, 18},
	"SK_BPF_CB_FLAGS": {6, 14}, "TCP_RTO_MAX_MS": {6, 15},
}

// TestSocketOptions sets options of a TCP socket and asks for them, in a program of
// which Linux lets the process's connection go on.
func TestSocketOptions(t *testing.T) {
	g := ownGroup(t)
	for _, c := range []struct {
		name          string
		family        int
		level, option int32
		values        []int32
	}{
		{"SO_REUSEADDR", unix.AF_INET, unix.SOL_SOCKET, unix.SO_REUSEADDR, []int32{1, 0, 7}},
		{"SO_SNDBUF", unix.AF_INET, unix.SOL_SOCKET, unix.SO_SNDBUF, []int32{5000, 1, 100000, -1}},
		{"SO_RCVBUF", unix.AF_INET, unix.SOL_SOCKET, unix.SO_RCVBUF, []int32{5000, 1, 100000}},
		{"SO_KEEPALIVE", unix.AF_INET, unix.SOL_SOCKET, unix.SO_KEEPALIVE, []int32{1, 0, 9}},
		{"SO_PRIORITY", unix.AF_INET, unix.SOL_SOCKET, unix.SO_PRIORITY, []int32{3, 100, -1}},
		{"SO_RCVLOWAT", unix.AF_INET, unix.SOL_SOCKET, unix.SO_RCVLOWAT, []int32{5, 0, -1}},
		{"SO_MARK", unix.AF_INET, unix.SOL_SOCKET, unix.SO_MARK, []int32{7, -1}},
		{"SO_MAX_PACING_RATE", unix.AF_INET, unix.SOL_SOCKET, unix.SO_MAX_PACING_RATE, []int32{1000, -1}},
		{"SO_BINDTOIFINDEX", unix.AF_INET, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, []int32{-1, 0, 1}},
		{"SO_TXREHASH", unix.AF_INET, unix.SOL_SOCKET, unix.SO_TXREHASH, []int32{0, 1, 2, -1}},
		{"SO_REUSEPORT", unix.AF_INET, unix.SOL_SOCKET, unix.SO_REUSEPORT, []int32{1, 0, 2}},
		{"SK_BPF_CB_FLAGS", unix.AF_INET, unix.SOL_SOCKET, 1009, []int32{1, 2, -1}},
		{"TCP_RTO_MAX_MS", unix.AF_INET, unix.SOL_TCP, 44, []int32{1000, 999, 120000, 120001}},
		{"IP_TOS/priorities", unix.AF_INET, unix.SOL_IP, unix.IP_TOS, []int32{0x18}},
		{"SO_LINGER", unix.AF_INET, unix.SOL_SOCKET, unix.SO_LINGER, []int32{1}},
		{"IP_TOS", unix.AF_INET, unix.SOL_IP, unix.IP_TOS, []int32{8, 0x1ff, 3, -1}},
		{"IP_TTL", unix.AF_INET, unix.SOL_IP, unix.IP_TTL, []int32{8}},
		{"IPV6_TCLASS", unix.AF_INET6, unix.SOL_IPV6, unix.IPV6_TCLASS, []int32{8, 255, 256, -1, -2}},
		{"IPV6_TCLASS/IPv4", unix.AF_INET, unix.SOL_IPV6, unix.IPV6_TCLASS, []int32{8}},
		{"IPV6_AUTOFLOWLABEL", unix.AF_INET6, unix.SOL_IPV6, 70, []int32{0, 1, 5}},
		{"IP_TOS/IPv6", unix.AF_INET6, unix.SOL_IP, unix.IP_TOS, []int32{8}},
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
	} {
		t.Run(c.name, func(t *testing.T) {
			if v, ok := optionsSince[c.name]; ok {
				testenv.KernelFrom(t, v[0], v[1], "it was not there, or had other limits")
			}
			network(t)
			at := ebpf.AttachCGroupInet4Connect
			if c.family == unix.AF_INET6 {
				at = ebpf.AttachCGroupInet6Connect
			}
			h := connectTo(unix.SOCK_STREAM)(t, families[c.family])
			w := watcher{prog: ebpf.CGroupSockAddr, attach: at, returns: 1}
			ask1 := func(name string, call asm.Instructions) { w.asks = append(w.asks, ask{name, call}) }
			ask1("get at first", option(asm.FnGetsockopt, c.level, c.option, 0x55555555))
			for _, v := range c.values {
				ask1(fmt.Sprintf("set to %d", v), option(asm.FnSetsockopt, c.level, c.option, v))
				ask1(fmt.Sprintf("get after %d", v), option(asm.FnGetsockopt, c.level, c.option, 0x55555555))
			}
			linux := w.inLinux(t, g.attach(at), func() { _, _ = h.do() })
			if len(linux) != 1 {
				t.Fatalf("the program ran %d times", len(linux))
			}
			machine, _ := w.inMachine(t, &event{fields: h.fields(w.typ(t)), world: g.world(h.socket)})
			same(t, linux[0], machine, h.unknown()...)
		})
	}
}
