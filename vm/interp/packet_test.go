package interp

import (
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// packet is TCP over IPv4.
var packet = append([]byte{
	0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2, 0x08, 0x00,
	0x45, 0, 0, 50, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
	0x30, 0x39, 0x00, 0x50,
}, make([]byte, 26)...)

// packetType is XDP, set up with the packet.
func packetType(t testing.TB, s *exec.State) *progtype.Type {
	t.Helper()
	typ, err := progtype.Get(ebpf.XDP)
	if err != nil {
		t.Fatal(err)
	}
	if err := typ.Setup(s, &progtype.Input{Data: packet}); err != nil {
		t.Fatal(err)
	}
	return typ
}
