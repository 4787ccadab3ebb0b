package attached

import (
	"fmt"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/verifier/kernels"
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
}{}

// optionsSince are the versions that first have options as the machine has them: the
// limits of buffers are what a system is set to, and grew.
var optionsSince = map[string]kernels.Version{
	"SO_SNDBUF": kernels.V(6, 18), "SO_RCVBUF": kernels.V(6, 18), "SO_RCVLOWAT": kernels.V(6, 18), "SO_REUSEPORT": kernels.V(6, 18),
	"SK_BPF_CB_FLAGS": kernels.V(6, 14), "TCP_RTO_MAX_MS": kernels.V(6, 15),
}

// TestSocketOptions sets options and asks for them, in programs at a connection that
// this process makes.
func TestSocketOptions(t *testing.T) {
	testenv.KernelFrom(t, 6, 1, "programs could set and get fewer options")
	host, err := kernels.Host()
	if err != nil {
		t.Fatal(err)
	}
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
				if c.family != family || host.Version() < optionsSince[c.name] {
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
		})
	}
}
