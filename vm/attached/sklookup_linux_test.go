package attached

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/skep-ebpf/skep/internal/testenv"
	"golang.org/x/sys/unix"
)

// ownNamespace attaches a program to the network namespace that the test is in.
func ownNamespace(p *ebpf.Program) (io.Closer, error) {
	ns, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	return link.AttachNetNs(int(ns.Fd()), p)
}

// TestLookup holds what programs see of a packet whose socket is looked for, and what
// becomes of it.
func TestLookup(t *testing.T) {
	testenv.KernelFrom(t, 5, 17, "bpf_sk_lookup had no ingress_ifindex")
	for _, c := range []struct {
		name    string
		family  int
		typ     int
		returns int32
		arrives bool
	}{
		{"UDP", unix.AF_INET, unix.SOCK_DGRAM, 1, true},
		{"UDP over IPv6", unix.AF_INET6, unix.SOCK_DGRAM, 1, true},
		{"UDP, dropped", unix.AF_INET, unix.SOCK_DGRAM, 0, false},
		{"TCP", unix.AF_INET, unix.SOCK_STREAM, 1, true},
		{"TCP over IPv6", unix.AF_INET6, unix.SOCK_STREAM, 1, true},
		{"TCP, dropped", unix.AF_INET6, unix.SOCK_STREAM, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			network(t)
			p := families[c.family]
			at := netip.AddrPortFrom(p.own, peerPort)
			to, _ := bound(t, at, c.typ)
			from, _ := bound(t, netip.AddrPortFrom(p.own, ownPort), c.typ)
			protocol := unix.IPPROTO_UDP
			if c.typ == unix.SOCK_STREAM {
				protocol = unix.IPPROTO_TCP
				if err := unix.Listen(to, 1); err != nil {
					t.Fatal(err)
				}
				if err := unix.SetNonblock(from, true); err != nil {
					t.Fatal(err)
				}
			}
			w := watcher{prog: ebpf.SkLookup, attach: ebpf.AttachSkLookup, returns: c.returns}
			arrived := false
			linux := w.inLinux(t, ownNamespace, func() {
				if c.typ == unix.SOCK_STREAM {
					_ = unix.Connect(from, sockaddr(at)) // goes on by itself
				} else if err := unix.Sendto(from, []byte("hello"), 0, sockaddr(at)); err != nil {
					t.Fatal(err)
				}
				arrived = hasCome(to)
			})
			if len(linux) == 0 || arrived != c.arrives {
				t.Fatalf("the program ran %d times, arrived: %v, want %v", len(linux), arrived, c.arrives)
			}
			linux[0].holds(t, map[string]uint64{"local_port": peerPort, "remote_port": networkOrder(ownPort), "family": uint64(c.family), "ingress_ifindex": loopback})
			fields := map[string]any{"family": c.family, "protocol": protocol, "remote_port": ownPort, "local_port": peerPort}
			if p.own.Is4() {
				fields["remote_ip4"], fields["local_ip4"] = p.own.String(), p.own.String()
			} else {
				fields["remote_ip6"], fields["local_ip6"] = p.own.String(), p.own.String()
			}
			machine, out := w.inMachine(t, &event{fields: fields})
			same(t, linux[0], machine, "ingress_ifindex") // a test run refuses to be told
			if out.Ret != uint32(c.returns) {
				t.Errorf("the machine gives %d", out.Ret)
			}
		})
	}
}
