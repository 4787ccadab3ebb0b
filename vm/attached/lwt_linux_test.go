package attached

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/vm"
)

// TestEncapsulation has a route's program put headers before packets that the test
// sends, and compares what goes out.
func TestEncapsulation(t *testing.T) {
	const (
		prog     = "encapsulate"
		ethernet = 14
		encapIP  = 2
	)
	// A header without checksum from 127.0.0.1 to 10.9.8.1, and what comes next.
	outer := func(protocol, tos, id byte, next ...byte) []byte {
		return append([]byte{0x45, tos, 0, 0, 0, id, 0, 0, 64, protocol, 0, 0, 127, 0, 0, 1, 10, 9, 8, 1}, next...)
	}
	network(t)
	spec := open(t, "lwt", prog, "")
	linux := inKernel(t, spec.Copy())
	route(t, netip.MustParsePrefix("10.9.8.0/24"), nil)
	route(t, netip.MustParsePrefix("10.9.9.0/24"), linux.Programs[prog])
	next := capture(t)
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(socket)
	// Checksums are not complete until a packet goes out.
	if err := unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		kind   uint64
		header []byte
		length int // 0: the header's
		data   string
	}{
		{name: "GRE", kind: encapIP, header: outer(47, 0, 7, 0, 0, 8, 0), data: "hello"},
		{name: "UDP", kind: encapIP, header: outer(17, 4, 8, 1, 2, 3, 4, 0, 0, 0, 0), data: "a longer one"},
		{name: "IP in IP", kind: encapIP, header: outer(4, 0, 9)},
		{name: "UDP without its header", kind: encapIP, header: outer(17, 0, 0), data: "x"},
		{name: "too short", kind: encapIP, header: outer(4, 0, 0), length: 19, data: "x"},
		{name: "neither IPv4 nor IPv6", kind: encapIP, header: append([]byte{0x75}, outer(4, 0, 0)[1:]...), data: "x"},
		{name: "segment routing", kind: 0, header: outer(4, 0, 0), data: "x"},
		{name: "of no kind", kind: 3, header: outer(4, 0, 0), data: "x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.length == 0 {
				c.length = len(c.header)
			}
			header := [64]byte{}
			copy(header[:], c.header)
			give(t, linux.Variables, c.kind, uint64(c.length))
			if err := linux.Variables["header"].Set(header); err != nil {
				t.Fatal(err)
			}
			if err := unix.Sendto(socket, []byte(c.data), 0, &unix.SockaddrInet4{Port: 7, Addr: [4]byte{10, 9, 9, 1}}); err != nil {
				t.Fatal(err)
			}
			out := next()
			want := find(t, linux.Variables)

			inner := out
			if want.Out[3] == 0 { // what was sent lies behind the new header
				inner = append(slices.Clone(out[:ethernet]), out[ethernet+c.length:]...)
			}
			machine := inMachine(t, spec.Copy(), nil)
			give(t, machine.Variables, c.kind, uint64(c.length))
			if err := machine.Variables["header"].Set(header); err != nil {
				t.Fatal(err)
			}
			var got vm.Output
			if err := machine.Programs[prog].Exec(t.Context(), &vm.Input{Data: inner}, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, find(t, machine.Variables)); diff != "" {
				t.Errorf("the program found: kernel - / machine +\n%s", diff)
			}
			if diff := cmp.Diff(out[ethernet:], got.Data[ethernet:]); diff != "" {
				t.Errorf("the packet: kernel - / machine +\n%s", diff)
			}
		})
	}
}
