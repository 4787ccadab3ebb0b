package machine_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/hook/capture"
	"github.com/skep-ebpf/skep/hook/netdev"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/machine"
	"github.com/skep-ebpf/skep/program"
)

// wires are the interfaces that the test's programs are attached to, and their indexes.
var wires = []struct {
	name  string
	index int
}{{"in", 11}, {"left", 12}, {"right", 13}}

// wiredNetwork puts the test's goroutine into a network namespace of its own with the
// wires. The other end of each stands for what it leads to, and takes redirected frames.
func wiredNetwork(t *testing.T) {
	t.Helper()
	testenv.KernelFrom(t, 5, 9, "cpumaps have no programs")
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	runtime.LockOSThread() // and never back: the thread ends with the goroutine, and the namespace with it
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("no network namespace: %v", err)
	}
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0); err != nil {
		t.Log(err) // its own packets may get in the way then
	}
	pass, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.XDP, License: "MIT", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer pass.Close()
	for _, w := range wires {
		far := "far-" + w.name
		err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: w.name, Index: w.index}, PeerName: far})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{w.name, far} {
			l, err := netlink.LinkByName(name)
			if err == nil {
				err = netlink.LinkSetUp(l)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		l, err := link.AttachXDP(link.XDPOptions{Program: pass, Interface: indexOf(t, far)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
	}
}

func indexOf(t *testing.T, name string) int {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return l.Attrs().Index
}

// frames are those of a capture.
func frames(t *testing.T, path string) (all [][]byte) {
	t.Helper()
	in, err := capture.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	for {
		p, err := in.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, bytes.Clone(p.Data))
	}
}

// TestEntries puts programs into entries of maps in both machines, and sends them real
// packets: what the programs count for each interface, and what of the rest the stack
// gets, is the same.
func TestEntries(t *testing.T) {
	var at []hook.Attachment
	for _, a := range [][2]string{
		{"stamp", "xdp/devmap/links:0@left"}, {"stamp", "xdp/devmap/links:1@right"},
		{"redirect", "xdp/in"}, {"count", "tcx/ingress/in"},
	} {
		at = append(at, attachment(t, a[0], a[1])...)
	}
	p, err := program.Open("../examples/redirect/redirect.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	packets := frames(t, "../examples/redirect/traffic.pcap")

	// run loads and attaches, and counts what send sends, until it is as many frames.
	run := func(t *testing.T, m machine.Machine, send func(frame []byte)) map[uint32][2]uint64 {
		t.Helper()
		c, err := m.Load(p, &machine.Options{At: at})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Attach(at); err != nil {
			t.Fatal(err)
		}
		for _, frame := range packets {
			send(frame)
		}
		for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			sent, n := counts(t, c.Map("sent")), uint64(0)
			for _, count := range sent {
				n += count[0]
			}
			passed := counts(t, c.Map("passed"))
			for typ, count := range passed {
				sent[typ] = count // no interface has the number of an EtherType
				n += count[0]
			}
			if n >= uint64(len(packets)) || time.Now().After(end) {
				return sent
			}
		}
	}

	cfg := &netdev.Config{Input: "in"}
	for _, w := range wires {
		cfg.Interfaces = append(cfg.Interfaces, netdev.InterfaceConfig{Name: w.name, Index: uint32(w.index)})
	}
	network, err := cfg.Build(netdev.Options{})
	if err != nil {
		t.Fatal(err)
	}
	user := run(t, machine.User(&machine.UserOptions{Network: network}), func(frame []byte) {
		if err := network.Receive(t.Context(), network.ByName("in"), frame); err != nil {
			t.Fatal(err)
		}
	})
	if user[12][0] == 0 || user[13][0] == 0 {
		t.Fatalf("left and right got no packets: %v", user)
	}

	t.Run("kernel", func(t *testing.T) {
		wiredNetwork(t)
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		to := &unix.SockaddrLinklayer{Ifindex: indexOf(t, "far-in")}
		linux := run(t, machine.Kernel(&machine.KernelOptions{}), func(frame []byte) {
			if err := unix.Sendto(fd, frame, 0, to); err != nil {
				t.Fatal(err)
			}
		})
		if diff := cmp.Diff(linux, user); diff != "" {
			t.Errorf("(-Linux +skep)\n%s", diff)
		}
	})
}

// counts reads a map of numbers of 4 bytes to one or two counts of 8.
func counts(t *testing.T, m machine.Map) map[uint32][2]uint64 {
	t.Helper()
	all := make(map[uint32][2]uint64)
	for key, err := m.NextKeyBytes(nil); key != nil; key, err = m.NextKeyBytes(key) {
		if err != nil {
			t.Fatal(err)
		}
		value, err := m.LookupBytes(key)
		if err != nil {
			t.Fatal(err)
		}
		var n [2]uint64
		for i := range len(value) / 8 {
			n[i] = binary.NativeEndian.Uint64(value[8*i:])
		}
		all[binary.NativeEndian.Uint32(key)] = n
	}
	return all
}
