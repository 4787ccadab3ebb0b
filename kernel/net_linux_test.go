package kernel

import (
	"net"
	"testing"

	"github.com/cilium/ebpf"
)

// TestInterfaces attaches to interfaces of a network of the test's own.
func TestInterfaces(t *testing.T) {
	for _, tc := range []struct {
		at     string
		typ    ebpf.ProgramType
		attach ebpf.AttachType
		result int32
		from   string // the interface that transmits
	}{
		{"tcx/ingress/left", ebpf.SchedCLS, ebpf.AttachTCXIngress, -1, "right"},
		{"tcx/egress/left", ebpf.SchedCLS, ebpf.AttachTCXEgress, -1, "left"},
		{"clsact/ingress/left", ebpf.SchedCLS, 0, -1, "right"},
		{"clsact/egress/left@7", ebpf.SchedCLS, 0, 0, "left"},
		{"socket/left", ebpf.SocketFilter, 0, 0, "right"},
	} {
		t.Run(tc.at, func(t *testing.T) {
			ownNetwork(t)
			hits := attached(t, counting(tc.at, tc.typ, tc.attach, "", tc.result), tc.at)
			before := hits()
			send(t, tc.from)
			if n := hits() - before; n != 1 {
				t.Errorf("the program ran %d times for one packet", n)
			}
		})
	}
}

// dial has this process send a datagram to itself over the loopback interface.
func dial(t *testing.T) {
	t.Helper()
	l, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("udp4", l.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
}

// TestNetfilter attaches to hooks of netfilter in a network of the test's own.
func TestNetfilter(t *testing.T) {
	for _, at := range []string{"netfilter/ipv4/local_out", "netfilter/ipv4/local_in@-100"} {
		t.Run(at, func(t *testing.T) {
			ownNetwork(t)
			hits := attached(t, counting("netfilter", ebpf.Netfilter, ebpf.AttachNetfilter, "", 1), at)
			before := hits()
			dial(t)
			if hits() == before {
				t.Error("the program did not run")
			}
		})
	}
}

// TestNetNS attaches to a network namespace of the test's own.
func TestNetNS(t *testing.T) {
	for _, tc := range []struct {
		at     string
		typ    ebpf.ProgramType
		attach ebpf.AttachType
	}{
		{"sk_lookup", ebpf.SkLookup, ebpf.AttachSkLookup},
		{"sk_lookup//proc/thread-self/ns/net", ebpf.SkLookup, ebpf.AttachSkLookup},
	} {
		t.Run(tc.at, func(t *testing.T) {
			ownNetwork(t)
			hits := attached(t, counting("sk_lookup", tc.typ, tc.attach, "", 1), tc.at)
			before := hits()
			dial(t)
			if hits() == before {
				t.Error("the program did not run")
			}
		})
	}
}
