package attached

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// packetAsks are what programs that see a packet of a cgroup ask of its socket.
var packetAsks = []ask{
	{"cookie", asm.Instructions{asm.Mov.Reg(asm.R1, asm.R6), asm.FnGetSocketCookie.Call()}},
	{"uid", asm.Instructions{asm.Mov.Reg(asm.R1, asm.R6), asm.FnGetSocketUid.Call()}},
	{"cgroup", asm.Instructions{asm.Mov.Reg(asm.R1, asm.R6), asm.FnSkbCgroupId.Call()}},
	{"ancestor 0", asm.Instructions{asm.Mov.Reg(asm.R1, asm.R6), asm.Mov.Imm(asm.R2, 0), asm.FnSkbAncestorCgroupId.Call()}},
	{"ancestor 1", asm.Instructions{asm.Mov.Reg(asm.R1, asm.R6), asm.Mov.Imm(asm.R2, 1), asm.FnSkbAncestorCgroupId.Call()}},
	{"ancestor 2", asm.Instructions{asm.Mov.Reg(asm.R1, asm.R6), asm.Mov.Imm(asm.R2, 2), asm.FnSkbAncestorCgroupId.Call()}},
	{"ancestor -1", asm.Instructions{asm.Mov.Reg(asm.R1, asm.R6), asm.Mov.Imm(asm.R2, -1), asm.FnSkbAncestorCgroupId.Call()}},
	{"byte", loadBytes(9)},
	{"relative to the network header", asm.Instructions{
		asm.Mov.Reg(asm.R1, asm.R6), asm.Mov.Imm(asm.R2, 0), asm.Mov.Reg(asm.R3, asm.RFP), asm.Add.Imm(asm.R3, -8), asm.Mov.Imm(asm.R4, 4),
		asm.Mov.Imm(asm.R5, 1), asm.FnSkbLoadBytesRelative.Call(),
	}},
	{"beyond the packet", loadBytes(2000)},
}

// loadBytes loads 4 bytes of the packet.
func loadBytes(at int32) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R1, asm.R6), asm.Mov.Imm(asm.R2, at), asm.Mov.Reg(asm.R3, asm.RFP), asm.Add.Imm(asm.R3, -8), asm.Mov.Imm(asm.R4, 4),
		asm.FnSkbLoadBytes.Call(),
	}
}

// TestPackets holds what programs see of datagrams that a process of the cgroup sends
// and receives, and what becomes of those that they drop.
func TestPackets(t *testing.T) {
	g := ownGroup(t)
	for _, c := range []struct {
		name    string
		attach  ebpf.AttachType
		family  int
		returns int32
		sent    error // what the sender is told
		arrives bool
	}{
		{"egress/IPv4", ebpf.AttachCGroupInetEgress, unix.AF_INET, 1, nil, true},
		{"egress/IPv6", ebpf.AttachCGroupInetEgress, unix.AF_INET6, 1, nil, true},
		{"egress/drop", ebpf.AttachCGroupInetEgress, unix.AF_INET, 0, unix.EPERM, false},
		{"egress/drop, congested", ebpf.AttachCGroupInetEgress, unix.AF_INET, 2, nil, false},
		{"egress/congested", ebpf.AttachCGroupInetEgress, unix.AF_INET, 3, nil, true},
		{"ingress/IPv4", ebpf.AttachCGroupInetIngress, unix.AF_INET, 1, nil, true},
		{"ingress/IPv6", ebpf.AttachCGroupInetIngress, unix.AF_INET6, 1, nil, true},
		{"ingress/drop", ebpf.AttachCGroupInetIngress, unix.AF_INET6, 0, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			network(t)
			p := families[c.family]
			from, sender := connected(t, p)
			to, receiver := bound(t, sender.Remote, unix.SOCK_DGRAM)
			own := sender
			if c.attach == ebpf.AttachCGroupInetIngress {
				own = receiver
			}
			const priority, mark = 4, 0x1234
			for _, o := range [][2]int{{unix.SO_PRIORITY, priority}, {unix.SO_MARK, mark}, {unix.SO_NO_CHECK, 1}} {
				if err := unix.SetsockoptInt(from, unix.SOL_SOCKET, o[0], o[1]); err != nil {
					t.Fatal(err)
				}
			}
			if own == sender {
				own.Priority, own.Mark = priority, mark
			}
			w := watcher{prog: ebpf.CGroupSKB, attach: c.attach, returns: c.returns, asks: packetAsks}
			next := capture(t)
			var sent, err error
			linux := w.inLinux(t, g.attach(c.attach), func() {
				sent = unix.Send(from, []byte("hello, world"), 0)
				_, err = received(to)
			})
			if len(linux) != 1 {
				t.Fatalf("the program ran %d times", len(linux))
			}
			if !errors.Is(sent, c.sent) || (err == nil) != c.arrives {
				t.Errorf("sending gives %v, want %v; receiving %v, want %v", sent, c.sent, err, c.arrives)
			}
			linux[0].holds(t, map[string]uint64{
				"mark": mark, "priority": priority, "len": uint64(len(linux[0].Packet)), "cgroup": g.id, "cookie": own.Cookie,
				"local_port": uint64(own.Local.Port()), "remote_port": networkOrder(own.Remote.Port()) << 16,
			})
			// Nothing sees a packet on its way out that the program drops: it is as the program saw it.
			frame := append(make([]byte, 12), etherType(p.own)...)
			frame = append(frame, linux[0].Packet...)
			if c.arrives {
				if diff := cmp.Diff(linux[0].Packet, next()[14:]); diff != "" {
					t.Errorf("the program saw - / went out +\n%s", diff)
				}
			}
			machine, _ := w.inMachine(t, &event{
				data: frame, world: g.world(own),
				fields: map[string]any{"mark": mark, "priority": priority, "ifindex": loopback, "ingress_ifindex": linux[0].Words["ingress_ifindex"]},
			})
			// A test run's packet has these otherwise: docs/contexts.md lists what can be said of it.
			same(t, linux[0], machine, "hash", "tstamp", "napi_id")
		})
	}
}

// etherType is that of packets with an address.
func etherType(a netip.Addr) []byte {
	if a.Is4() {
		return binary.BigEndian.AppendUint16(nil, unix.ETH_P_IP)
	}
	return binary.BigEndian.AppendUint16(nil, unix.ETH_P_IPV6)
}
