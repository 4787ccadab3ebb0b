package attached

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// network gives this goroutine a network namespace of its own, in which loopback
// is up. The goroutine's thread ends with it.
func network(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("no network namespace of the test's own: %v", err)
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(s)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	lo.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo); err != nil {
		t.Fatal(err)
	}
}

// loopback is the index of a namespace's first interface.
const loopback = 1

// route sends packets to a network out by loopback, through a program of type
// lwt_xmit where there is one.
func route(t *testing.T, to netip.Prefix, p *ebpf.Program) {
	t.Helper()
	const (
		routeEncapType, routeEncap = 21, 22
		encapBPF, nested           = 6, 1 << 15
		bpfXmit, bpfFD, bpfName    = 3, 1, 2
	)
	le := binary.NativeEndian
	attribute := func(typ uint16, value []byte) []byte {
		b := le.AppendUint16(le.AppendUint16(nil, uint16(4+len(value))), typ)
		b = append(b, value...)
		return append(b, make([]byte, -len(b)&3)...)
	}
	body := []byte{unix.AF_INET, byte(to.Bits()), 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_BOOT, unix.RT_SCOPE_LINK, unix.RTN_UNICAST, 0, 0, 0, 0}
	body = append(body, attribute(unix.RTA_DST, to.Addr().AsSlice())...)
	body = append(body, attribute(unix.RTA_OIF, le.AppendUint32(nil, loopback))...)
	if p != nil {
		prog := append(attribute(bpfFD, le.AppendUint32(nil, uint32(p.FD()))), attribute(bpfName, []byte("encapsulate\x00"))...)
		body = append(body, attribute(routeEncapType, le.AppendUint16(nil, encapBPF))...)
		body = append(body, attribute(routeEncap|nested, attribute(bpfXmit|nested, prog))...)
	}
	message := le.AppendUint32(nil, uint32(unix.NLMSG_HDRLEN+len(body)))
	message = le.AppendUint16(message, unix.RTM_NEWROUTE)
	message = le.AppendUint16(message, unix.NLM_F_REQUEST|unix.NLM_F_ACK|unix.NLM_F_CREATE)
	message = append(message, make([]byte, 8)...) // sequence number, port
	message = append(message, body...)

	s, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(s)
	if err := unix.Sendto(s, message, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 4096)
	n, err := unix.Read(s, answer)
	if err != nil || n < unix.NLMSG_HDRLEN+4 {
		t.Fatalf("netlink answers with %d bytes, %v", n, err)
	}
	if e := int32(le.Uint32(answer[unix.NLMSG_HDRLEN:])); e != 0 {
		t.Skipf("the running kernel makes no route to %s with a program: %v", to, unix.Errno(-e))
	}
}

// capture gives a function that takes the next packet that goes out by loopback,
// with its Ethernet header.
func capture(t *testing.T) func() []byte {
	t.Helper()
	const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8
	s, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, all)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(s) })
	patience := unix.NsecToTimeval(int64(5 * time.Second))
	if err := unix.SetsockoptTimeval(s, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience); err != nil {
		t.Fatal(err)
	}
	return func() []byte {
		t.Helper()
		b := make([]byte, 4096)
		for {
			n, from, err := unix.Recvfrom(s, b, 0)
			if err != nil {
				t.Fatalf("no packet went out: %v", err)
			}
			if a, ok := from.(*unix.SockaddrLinklayer); ok && a.Pkttype == unix.PACKET_OUTGOING {
				return b[:n]
			}
		}
	}
}
