package attached

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/vm/world"
)

// What happens to a connection, as programs of type sockops are told: BPF_SOCK_OPS_*.
const (
	opTimeoutInit, opReceiveWindow, opConnect = 1, 2, 3
	opActive, opPassive                       = 4, 5
)

// stateNames are those of TCP's states in a world.
var stateNames = map[uint64]string{1: "established", 2: "syn-sent", 3: "syn-recv", 10: "listen", 12: "new-syn-recv"}

// ofTCP are fields of struct bpf_sock_ops that are a connection's own numbers: how fast
// it is, and by chance.
var ofTCP = []string{
	"snd_cwnd", "srtt_us", "rtt_min", "snd_ssthresh", "rcv_nxt", "snd_nxt", "snd_una", "mss_cache", "rate_delivered", "rate_interval_us",
	"packets_out", "retrans_out", "total_retrans", "segs_in", "data_segs_in", "segs_out", "data_segs_out", "lost_out", "sacked_out",
	"bytes_received", "bytes_acked", "sk_txhash", "skb_tcp_flags",
}

// TestConnection holds what programs see of a connection that a process of the cgroup
// makes with itself.
func TestConnection(t *testing.T) {
	testenv.KernelFrom(t, 6, 18, "what sockets of IPv6 had in place of addresses of IPv4 differed")
	g := ownGroup(t)
	const priority = 5
	for name, family := range map[string]int{"IPv4": unix.AF_INET, "IPv6": unix.AF_INET6} {
		t.Run(name, func(t *testing.T) {
			network(t)
			p := families[family]
			client, server := netip.AddrPortFrom(p.own, ownPort), netip.AddrPortFrom(p.own, peerPort)
			to, _ := bound(t, server, unix.SOCK_STREAM)
			if err := unix.Listen(to, 1); err != nil {
				t.Fatal(err)
			}
			from, _ := bound(t, client, unix.SOCK_STREAM)
			if err := unix.SetsockoptInt(from, unix.SOL_SOCKET, unix.SO_PRIORITY, priority); err != nil {
				t.Fatal(err)
			}
			w := watcher{prog: ebpf.SockOps, attach: ebpf.AttachCGroupSockOps, returns: 1, asks: []ask{
				{"flags", asm.Instructions{asm.Mov.Reg(asm.R1, asm.R6), asm.Mov.Imm(asm.R2, 0x80), asm.FnSockOpsCbFlagsSet.Call()}},
			}}
			linux := w.inLinux(t, g.attach(w.attach), func() {
				if err := unix.Connect(from, sockaddr(server)); err != nil {
					t.Fatal(err)
				}
			})
			var ops []uint64
			for _, n := range linux {
				op := n.Words["op"]
				ops = append(ops, op)
				s := &world.Socket{Proto: "tcp", State: stateNames[n.Words["state"]], Local: client, Remote: server, Priority: priority}
				if n.Words["local_port"] == peerPort {
					s.Local, s.Remote, s.Priority = server, client, 0
				}
				n.holds(t, map[string]uint64{
					"family": uint64(family), "local_port": uint64(s.Local.Port()), "remote_port": networkOrder(s.Remote.Port()) << 16,
				})
				fields := map[string]any{"op": op, "args": []uint64{n.Words["args[0]"], n.Words["args[1]"], n.Words["args[2]"], n.Words["args[3]"]}}
				for _, name := range ofTCP {
					if v, ok := n.Words[name]; ok {
						fields[name] = v
					}
				}
				machine, _ := w.inMachine(t, &event{world: g.world(s), fields: fields, data: n.Packet})
				same(t, n, machine, "sk.rx_queue_mapping") // is of the processor that has the connection
			}
			for _, op := range []uint64{opTimeoutInit, opReceiveWindow, opConnect, opActive, opPassive} {
				if !slices.Contains(ops, op) {
					t.Errorf("of the operations %d there is no %d", ops, op)
				}
			}
		})
	}
}
