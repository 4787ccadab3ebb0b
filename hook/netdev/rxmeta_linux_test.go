package netdev

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"
	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/program"
)

// rxSeen is a struct seen of the test's programs.
type rxSeen struct {
	TimestampRet, Timestamp, HashRet, Hash, Type, VLANRet, VLAN int64
	Size, Read, Value, Written, Again, Same                     int64
}

// TestMetadataLikeTheKernel: what drivers say of a packet that comes in, from outside,
// from a peer with and without a VLAN tag beside it, and as a redirected frame.
func TestMetadataLikeTheKernel(t *testing.T) {
	testenv.Kernel(t)
	open := func() *ebpf.CollectionSpec {
		p, err := program.Open(filepath.Join("..", "..", "vm", "testdata", "kfunc", "rxmeta.bpf.o"))
		check(t, err)
		for name, ifindex := range map[string]uint32{"first": 10, "second": 12} {
			p.Spec.Programs[name].Ifindex, p.Spec.Programs[name].Flags = ifindex, 1<<6 // BPF_F_XDP_DEV_BOUND_ONLY
		}
		return p.Spec
	}
	cfg := &Config{
		Input: "a",
		Interfaces: []InterfaceConfig{
			{Name: "a", Index: 10}, {Name: "b", Index: 11, Peer: "c"}, {Name: "c", Index: 12},
		},
		Attach: []AttachConfig{
			{If: "a", Hook: XDP, Prog: "first"}, {If: "a", Hook: TCXIngress, Prog: "across"},
			{If: "c", Hook: XDP, Prog: "second"}, {If: "c", Hook: TCXIngress, Prog: "last"},
		},
	}
	var frames [][]byte
	for way := range byte(3) {
		frame := make([]byte, 80)
		frame[0], frame[5], frame[6], frame[12], frame[14], frame[23] = 2, way, 4, 8, 0x45, 17
		frame[35], frame[37] = 7, 9
		frames = append(frames, frame)
	}
	k := newKernelNet(t, cfg, open())
	got, b := virtual(t, cfg, open(), frames)
	k.run(t, frames, got)
	var want, seen [2][4]rxSeen
	check(t, k.coll.Variables["seen"].Get(&want))
	check(t, b.coll.Variables["seen"].Get(&seen))
	for way := range want[1] { // before 6.19 metadata is read-only where a socket sees the packet, too, as the test's do
		if w := &want[1][way]; w.Written == -22 {
			w.Written, w.Again = seen[1][way].Written, seen[1][way].Again
		}
	}
	opts := &ebpf.RunOptions{Data: frames[0]}
	if _, err := k.coll.Programs["first"].Run(opts); !errors.Is(err, unix.EINVAL) {
		t.Errorf("Linux runs a program for one device: %v", err)
	}
	if _, err := b.coll.Programs["first"].Run(opts); !errors.Is(err, errno.EINVAL) {
		t.Errorf("a program for one device runs: %v", err)
	}
	if diff := gocmp.Diff(want, seen); diff != "" || want[1][2].VLANRet != 0 {
		t.Errorf("(-Linux +here):\n%s", diff)
	}
}
