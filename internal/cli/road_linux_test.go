package cli

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/kernel"
)

// road is three networks in a row: a sender's, the test's own, and a receiver's.
// Interface in is the end of the sender's, out the beginning of the receiver's; nothing
// goes from the one to the other but by a program.
type road struct {
	sender, receiver *os.File // their network namespaces
	out              int      // the interface's index
}

// The ends of the road.
var (
	senderIP, receiverIP   = net.IPv4(192, 0, 2, 1).To4(), net.IPv4(192, 0, 2, 2).To4()
	senderMAC, receiverMAC = net.HardwareAddr{2, 0, 0, 0, 0, 1}, net.HardwareAddr{2, 0, 0, 0, 0, 2}
)

const receiverPort = 4000

// newRoad puts the test's goroutine, and what it executes, into the middle of a road,
// with a bpffs of its own at the usual place.
func newRoad(t *testing.T) *road {
	t.Helper()
	testenv.Kernel(t)
	if os.Geteuid() != 0 {
		t.Skip("namespaces need root")
	}
	runtime.LockOSThread() // and never back: the namespaces end with the thread, and it with the goroutine
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		t.Skipf("no namespaces of the test's own: %v", err)
	}
	check(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	check(unix.Mount("bpf", kernel.BPFFS, "bpf", 0, ""))

	r := &road{sender: ownNetNS(t), receiver: ownNetNS(t)}
	ownNetNS(t) // the middle, where the test stays
	link := func(end, middle string, ns *os.File, mac net.HardwareAddr, ip net.IP) (index int) {
		check(netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: middle}, PeerName: end, PeerNamespace: netlink.NsFd(ns.Fd()), PeerHardwareAddr: mac,
		}))
		l, err := netlink.LinkByName(middle)
		check(err)
		check(netlink.LinkSetUp(l))
		within(t, ns, func() {
			l, err := netlink.LinkByName(end)
			check(err)
			check(netlink.AddrAdd(l, &netlink.Addr{IPNet: &net.IPNet{IP: ip, Mask: net.CIDRMask(24, 32)}}))
			check(netlink.LinkSetUp(l))
			passXDP(t, l)
		})
		return l.Attrs().Index
	}
	link("sender", "in", r.sender, senderMAC, senderIP)
	r.out = link("receiver", "out", r.receiver, receiverMAC, receiverIP)
	within(t, r.sender, func() { // no one answers for the receiver
		l, err := netlink.LinkByName("sender")
		check(err)
		check(netlink.NeighAdd(&netlink.Neigh{LinkIndex: l.Attrs().Index, State: netlink.NUD_PERMANENT, IP: receiverIP, HardwareAddr: receiverMAC}))
	})
	return r
}

// ownNetNS puts this thread into a new network namespace, in which only the test sends.
func ownNetNS(t *testing.T) *os.File {
	t.Helper()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("no network namespace: %v", err)
	}
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	f, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// within does something in another network namespace.
func within(t *testing.T, ns *os.File, do func()) {
	t.Helper()
	here, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setns(int(here.Fd()), unix.CLONE_NEWNET); err != nil {
			t.Fatal(err)
		}
	}()
	do()
}

// passXDP has an interface take what XDP programs of its peer send to it: a veth does
// only if it has a program, too.
func passXDP(t *testing.T, l netlink.Link) {
	t.Helper()
	pass, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()}})
	if err != nil {
		t.Fatal(err)
	}
	defer pass.Close()
	at, err := link.AttachXDP(link.XDPOptions{Program: pass, Interface: l.Attrs().Index})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { at.Close() })
}

// traffic is datagrams on their way along a road, numbered from 0 on.
type traffic struct {
	stop    chan struct{}
	sending sync.WaitGroup // until it ends, sent and err are the sender's
	sent    uint64
	err     error
	arrived chan map[uint64]int // how often each number did, when no more come
}

// A tick's datagrams are sent at once. The receiver has room for all that a busy machine
// may keep it from reading.
const (
	tick     = time.Millisecond
	perTick  = 4
	patience = 2 * time.Second
	room     = 64 << 20 // bytes
)

// travel begins to send, and to receive.
func (r *road) travel(t *testing.T) *traffic {
	t.Helper()
	var from, to *net.UDPConn
	var err error
	within(t, r.receiver, func() { to, err = net.ListenUDP("udp4", &net.UDPAddr{IP: receiverIP, Port: receiverPort}) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { to.Close() })
	within(t, r.sender, func() { from, err = net.DialUDP("udp4", nil, &net.UDPAddr{IP: receiverIP, Port: receiverPort}) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { from.Close() })
	setOption(t, to, unix.SO_RCVBUFFORCE, room)
	setOption(t, from, unix.SO_NO_CHECK, 1) // no one completes checksums on the way through XDP
	tr := &traffic{stop: make(chan struct{}), arrived: make(chan map[uint64]int, 1)}
	tr.sending.Go(func() { tr.err = tr.send(from) })
	go func() { tr.arrived <- receive(to, tr.stop) }()
	return tr
}

func setOption(t *testing.T, c *net.UDPConn, option, value int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	failed := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, option, value) })
	if err := errors.Join(err, failed); err != nil {
		t.Fatal(err)
	}
}

func (tr *traffic) send(c *net.UDPConn) error {
	ticks := time.NewTicker(tick)
	defer ticks.Stop()
	for {
		if <-ticks.C; done(tr.stop) {
			return nil
		}
		for range perTick {
			if _, err := c.Write(binary.LittleEndian.AppendUint64(nil, tr.sent)); err != nil {
				return err
			}
			tr.sent++
		}
	}
}

// receive counts what arrives until it is told to stop, and then nothing comes for a
// while.
func receive(c *net.UDPConn, stop chan struct{}) map[uint64]int {
	arrived := make(map[uint64]int)
	var b [8]byte
	for {
		_ = c.SetReadDeadline(time.Now().Add(patience))
		n, err := c.Read(b[:])
		switch {
		case err == nil && n == len(b):
			arrived[binary.LittleEndian.Uint64(b[:])]++
		case errors.Is(err, os.ErrDeadlineExceeded) && !done(stop):
		case err != nil:
			return arrived
		}
	}
}

func done(stop chan struct{}) bool {
	select {
	case <-stop:
		return true
	default:
		return false
	}
}

// end stops sending, and gives how many were sent and how many of them did not arrive
// once.
func (tr *traffic) end(t *testing.T) (sent, lost uint64) {
	t.Helper()
	close(tr.stop)
	tr.sending.Wait()
	if tr.err != nil {
		t.Fatal(tr.err)
	}
	arrived := <-tr.arrived
	for n := range tr.sent {
		if arrived[n] != 1 {
			lost++
		}
	}
	return tr.sent, lost
}
