package kernel

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
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
		{"flow_dissector", ebpf.FlowDissector, ebpf.AttachFlowDissector},
	} {
		t.Run(tc.at, func(t *testing.T) {
			ownNetwork(t)
			result := int32(1) // SK_PASS
			if tc.typ == ebpf.FlowDissector {
				result = 0 // BPF_OK
			}
			hits := attached(t, counting(tc.at, tc.typ, tc.attach, "", result), tc.at)
			before := hits()
			dial(t)
			send(t, "left")
			if hits() == before {
				t.Error("the program did not run")
			}
		})
	}
}

// TestNetkit attaches to both ends of a pair of netkit interfaces.
func TestNetkit(t *testing.T) {
	for _, tc := range []struct {
		at     string
		attach ebpf.AttachType
		from   string
	}{
		{"netkit/primary/nk0", ebpf.AttachNetkitPrimary, "nk0"},
		{"netkit/peer/nk0", ebpf.AttachNetkitPeer, "nk1"},
	} {
		t.Run(tc.at, func(t *testing.T) {
			needs(t, tc.at)
			ownNetwork(t)
			pair := &netlink.Netkit{LinkAttrs: netlink.LinkAttrs{Name: "nk0"}, Mode: netlink.NETKIT_MODE_L2}
			pair.SetPeerAttrs(&netlink.LinkAttrs{Name: "nk1"})
			if err := netlink.LinkAdd(pair); err != nil {
				t.Skipf("needs Linux built with netkit: %v", err)
			}
			for _, name := range []string{"nk0", "nk1"} {
				if err := netlink.LinkSetUp(interfaceOf(t, name)); err != nil {
					t.Fatal(err)
				}
			}
			hits := attached(t, counting(tc.at, ebpf.SchedCLS, tc.attach, "", -1), tc.at)
			before := hits()
			send(t, tc.from)
			if n := hits() - before; n != 1 {
				t.Errorf("the program ran %d times for one packet", n)
			}
		})
	}
}

// An interface of another network namespace is not found, but named.
func TestInterfaceElsewhere(t *testing.T) {
	ownNetwork(t)
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		t.Skipf("no mount namespace: %v", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Skipf("no mounts of the test's own: %v", err)
	}
	if i, err := os.Stat("/run"); err != nil || !i.IsDir() {
		t.Skip("needs a folder /run")
	}
	blue := filepath.Join(namedNetworks, "blue")
	if err := errors.Join(
		unix.Mount("tmpfs", "/run", "tmpfs", 0, ""),
		os.Mkdir(namedNetworks, 0o755),
		os.WriteFile(blue, nil, 0o644),
		unix.Mount("/proc/thread-self/ns/net", blue, "", unix.MS_BIND, ""),
		unix.Unshare(unix.CLONE_NEWNET),
	); err != nil {
		t.Fatal(err)
	}
	want := "there is no interface left here, but one in network namespace blue: run skep there, with 'ip netns exec blue skep ...'"
	if _, err := interfaceNamed("left"); err == nil || err.Error() != want {
		t.Errorf("interface left: %v, want %s", err, want)
	}
	if _, err := interfaceNamed("middle"); err == nil || !strings.Contains(err.Error(), "there is no interface middle here; there is lo") {
		t.Errorf("interface middle: %v", err)
	}
}
