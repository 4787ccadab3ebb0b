package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/hook"
)

// routed gives left addresses, and routes to 10.9.9.0/24 and fc00::1 by it.
func routed(t *testing.T) {
	t.Helper()
	left := interfaceOf(t, "left")
	for file, value := range map[string]string{
		"ipv4/ip_forward": "1", "ipv6/conf/left/disable_ipv6": "0", "ipv6/conf/all/forwarding": "1",
		"ipv6/conf/all/seg6_enabled": "1", "ipv6/conf/left/seg6_enabled": "1",
	} {
		if err := os.WriteFile("/proc/sys/net/"+file, []byte(value), 0); err != nil {
			t.Fatal(err)
		}
	}
	address, err := netlink.ParseAddr("10.1.1.1/24")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrAdd(left, address); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"10.9.9.0/24", "fc00::1/128"} {
		_, dst, err := net.ParseCIDR(to)
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.RouteAdd(&netlink.Route{Dst: dst, LinkIndex: left.Attrs().Index, MTU: 1400}); err != nil {
			t.Fatal(err)
		}
	}
}

// arrive has left receive a packet of a protocol from right.
func arrive(t *testing.T, protocol uint16, packet []byte) {
	t.Helper()
	right := interfaceOf(t, "right").Attrs()
	frame := append([]byte(nil), interfaceOf(t, "left").Attrs().HardwareAddr...)
	frame = append(frame, right.HardwareAddr...)
	frame = binary.BigEndian.AppendUint16(frame, protocol)
	frame = append(frame, packet...)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: right.Index}); err != nil {
		t.Fatal(err)
	}
}

// forwarded is a packet from 10.1.1.2 to 10.9.9.1, with the checksum that it takes.
func forwarded() []byte {
	return []byte{0x45, 0, 0, 20, 0, 0, 0, 0, 64, 253, 0x5b, 0xe1, 10, 1, 1, 2, 10, 9, 9, 1}
}

// segment is a packet to fc00::1 that goes on to fc00::2.
func segment() []byte {
	address := func(last byte) []byte { return []byte{0xfc, 15: last} }
	p := []byte{0x60, 0, 0, 0, 0, 40, 43, 64}
	p = append(append(p, address(3)...), address(1)...)
	p = append(p, 59, 4, 4, 1, 1, 0, 0, 0) // no next header, 40 bytes, routing of segments, one left of two
	return append(append(p, address(2)...), address(1)...)
}

// TestRoutes attaches to routes of the test's own.
func TestRoutes(t *testing.T) {
	for _, tc := range []struct {
		at   string
		typ  ebpf.ProgramType
		fire func(t *testing.T)
	}{
		{"lwt_in/10.9.9.0/24@left", ebpf.LWTIn, func(t *testing.T) { arrive(t, unix.ETH_P_IP, forwarded()) }},
		{"lwt_out/10.9.9.0/24@left", ebpf.LWTOut, func(t *testing.T) { hello(t, &net.UDPAddr{IP: net.IPv4(10, 9, 9, 1), Port: 7}, 1) }},
		{"lwt_xmit/10.9.9.0/24@left", ebpf.LWTXmit, func(t *testing.T) { hello(t, &net.UDPAddr{IP: net.IPv4(10, 9, 9, 1), Port: 7}, 1) }},
		{"lwt_seg6local/fc00::1/128@left", ebpf.LWTSeg6Local, func(t *testing.T) { arrive(t, unix.ETH_P_IPV6, segment()) }},
	} {
		t.Run(tc.at, func(t *testing.T) {
			ownNetwork(t)
			routed(t)
			before := routesOf(t)
			c, err := Load(counting(tc.at, tc.typ, 0, "", 0), &Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			attach(t, c, tc.at)
			tc.fire(t)
			if n := counted(t, c); n != 1 {
				t.Errorf("the program ran %d times for one packet", n)
			}
			if err := c.Detach(); err != nil {
				t.Fatal(err)
			}
			if after := routesOf(t); after != before {
				t.Errorf("the routes were\n%sand are now\n%s", before, after)
			}
		})
	}
}

// routesOf gives the routes by left, as text.
func routesOf(t *testing.T) (all string) {
	t.Helper()
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := netlink.RouteList(interfaceOf(t, "left"), family)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range routes {
			if !strings.HasPrefix(r.Dst.String(), "fe80") { // comes when it comes
				all += fmt.Sprintf("%v mtu %d\n", r, r.MTU)
			}
		}
	}
	return all
}

// What stays at a route is put back when it is stopped, and what is left of a skep that has
// gone does not keep the next one from the route.
func TestPinsRoute(t *testing.T) {
	ownNetwork(t)
	routed(t)
	p := ownPins(t)
	before := routesOf(t)
	const at = "lwt_xmit/10.9.9.0/24@left"
	object := counting(at, ebpf.LWTXmit, 0, "", 0)
	load := func() *Collection {
		c, err := Load(object, &Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		attach(t, c, at)
		return c
	}
	gone := load()
	stand := gone.links[0].closer.(*standIn)
	if err := stand.table.Delete(uint32(0)); err != nil { // as Linux does
		t.Fatal(err)
	}
	c := load()
	if err := errors.Join(p.Pin("route", c), c.Close()); err != nil {
		t.Fatal(err)
	}
	hello(t, &net.UDPAddr{IP: net.IPv4(10, 9, 9, 1), Port: 7}, 1)
	if _, err := p.Replace("route", object, &Options{}); err != nil {
		t.Fatal(err)
	}
	hello(t, &net.UDPAddr{IP: net.IPv4(10, 9, 9, 1), Port: 7}, 1)
	if n := hitsOf(t, p, "route"); n != 2 {
		t.Errorf("the two programs ran %d times for two packets", n)
	}
	if err := p.Stop("route"); err != nil {
		t.Fatal(err)
	}
	if after := routesOf(t); after != before {
		t.Errorf("the routes were\n%sand are now\n%s", before, after)
	}
}

func TestRouteRefused(t *testing.T) {
	ownNetwork(t)
	routed(t)
	c, err := Load(counting("lwt_out", ebpf.LWTOut, 0, "", 0), &Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	attach(t, c, "lwt_out/10.9.9.0/24@left")
	for at, want := range map[string]string{
		"lwt_out/10.9.9.0/24@left":       "the route to 10.9.9.0/24 by left has an encapsulation already: out: skep",
		"lwt_out/10.9.8.0/24@left":       "there is no route to 10.9.8.0/24 by left; did you mean 10.9.9.0/24? (make one with 'ip route add 10.9.8.0/24 dev left')",
		"lwt_out/10.9.9.0/24":            "want a route, as destination@interface, such as lwt_out/10.0.0.0/8@veth0",
		"lwt_out/10.9.9/24@left":         "the destination: ",
		"lwt_out/10.9.9.0/24@lef":        "did you mean left?",
		"lwt_seg6local/10.9.9.0/24@left": "segments are routed in IPv6 alone",
		"lwt_out/10.1.1.0/24@right":      "there are several routes to 10.1.1.0/24, by other ways than right",
	} {
		point, err := hook.Parse(at)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Attach([]hook.Attachment{{Program: "count", Point: point}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", at, err, want)
		}
	}
}
