package attached

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf/link"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/exec"
)

// TestNetfilter holds what programs at hooks of netfilter see of a datagram that the
// test sends itself, and what becomes of it.
func TestNetfilter(t *testing.T) {
	const prog, mark, priority = "filter", 0x1234, 4
	const localIn, localOut = 1, 3 // NF_INET_*
	for _, c := range []struct {
		name    string
		family  int
		hook    uint32
		verdict uint64
		sent    error
		arrives bool
	}{
		{"local_in", unix.AF_INET, localIn, 1, nil, true},
		{"local_in/IPv6", unix.AF_INET6, localIn, 1, nil, true},
		{"local_in/dropped", unix.AF_INET, localIn, 0, nil, false},
		{"local_out", unix.AF_INET, localOut, 1, nil, true},
		{"local_out/dropped", unix.AF_INET, localOut, 0, unix.EPERM, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			network(t)
			spec := open(t, "netfilter", prog, "")
			linux := inKernel(t, spec.Copy())
			p := families[c.family]
			from, _ := connected(t, p)
			to, _ := bound(t, netip.AddrPortFrom(p.own, peerPort), unix.SOCK_DGRAM)
			for _, o := range [][2]int{{unix.SO_PRIORITY, priority}, {unix.SO_MARK, mark}, {unix.SO_NO_CHECK, 1}} {
				if err := unix.SetsockoptInt(from, unix.SOL_SOCKET, o[0], o[1]); err != nil {
					t.Fatal(err)
				}
			}
			pf := map[int]uint32{unix.AF_INET: 2, unix.AF_INET6: 10}[c.family]
			l, err := link.AttachNetfilter(link.NetfilterOptions{
				Program: linux.Programs[prog], ProtocolFamily: link.NetfilterProtocolFamily(pf), Hook: link.NetfilterInetHook(c.hook), Priority: -128,
			})
			attach(t, l, err)
			give(t, linux.Variables, c.verdict)
			next := capture(t)
			const data = "hello, world"
			sent := unix.Send(from, []byte(data), 0)
			_, err = received(to)
			if !errors.Is(sent, c.sent) || (err == nil) != c.arrives {
				t.Errorf("sending gives %v, want %v; receiving %v, want %v", sent, c.sent, err, c.arrives)
			}
			want := find(t, linux.Variables)
			header := int64(20)
			if c.family == unix.AF_INET6 {
				header = 40
			}
			if want.Out[63] != 1 || want.Out[0] != int64(c.hook) || want.Out[4] != header+8+int64(len(data)) || want.Out[5] != mark {
				t.Errorf("Linux ran it %d times, at hook %d, with %d bytes and mark %#x", want.Out[63], want.Out[0], want.Out[4], want.Out[5])
			}
			var packet []byte
			if sent == nil {
				packet = next()[14:]
			} else { // it never went out: as the program saw it
				packet = append([]byte{}, want.Text[0][:40]...)
			}
			device := fmt.Sprintf("{ifindex: %d}", loopback)
			side := map[bool]string{true: "in", false: "out"}[c.hook == localIn]
			ctx := describe(t, spec.Programs[prog], fmt.Sprintf(`
state: {hook: %d, pf: %d, %s: %s}
skb: {len: %d, mark: %d, priority: %d}`, c.hook, pf, side, device, len(packet), mark, priority))
			coll := inMachine(t, spec.Copy(), &exec.Env{Objects: ctx.Objects})
			give(t, coll.Variables, c.verdict)
			var out vm.Output
			if err := coll.Programs[prog].Exec(t.Context(), &vm.Input{Ctx: ctx.Ctx, Data: packet}, &out); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, find(t, coll.Variables)); diff != "" || out.Ret != uint32(c.verdict) {
				t.Errorf("the machine gives %d, want %d; kernel - / machine +\n%s", out.Ret, c.verdict, diff)
			}
		})
	}
}
