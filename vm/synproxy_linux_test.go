package vm_test

import (
	"bytes"
	"encoding/binary"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/vm"
	vmexec "github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/world"
)

const trackingWorld = `
conntrack:
- {proto: tcp, src: "10.0.0.1:1000", dst: "10.0.0.2:80", status: [seen_reply, assured], timeout: 4, mark: 7}
- {proto: udp, src: "10.0.0.1:1000", dst: "10.0.0.2:53", reply: {src: "10.0.0.3:53", dst: "10.0.0.1:1000"}, zone: 5, status: [dst_nat, dst_nat_done]}
- {proto: tcp, src: "10.0.0.1:1000", dst: "10.0.0.2:81", netns: 2}
`

// tuple is a struct bpf_sock_tuple of IPv4.
func tuple(src [4]byte, sport uint16, dst [4]byte, dport uint16) []byte {
	b := append(src[:], dst[:]...)
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, sport), dport)
}

// TestConntrackOfWorld finds the connections that a world describes, each by its own
// types: the kernel's, and those of the program where there are none.
func TestConntrackOfWorld(t *testing.T) {
	var now time.Duration
	a, b, c := [4]byte{10, 0, 0, 1}, [4]byte{10, 0, 0, 2}, [4]byte{10, 0, 0, 3}
	const confirmed, seenReply, assured, ticks = 8, 2, 4, vmexec.Hz
	tests := []struct {
		name  string
		at    time.Duration // of the clock
		tuple []byte
		opts  string
		err   int32
		dir   byte
		want  []int64 // status, mark, timeout, zone
	}{
		{"a packet", 0, tuple(a, 1000, b, 80), "\xff\xff\xff\xff\x00\x00\x00\x00\x06", 0, 0, []int64{confirmed | seenReply | assured, 7, 4 * ticks, 3}},
		{"a reply", 3 * time.Second, tuple(b, 80, a, 1000), "\xff\xff\xff\xff\x00\x00\x00\x00\x06", 0, 1, []int64{confirmed | seenReply | assured, 7, ticks, 3}},
		{"too late", 4 * time.Second, tuple(b, 80, a, 1000), "\xff\xff\xff\xff\x00\x00\x00\x00\x06", -2, 0, nil},
		{"another zone", 0, tuple(a, 1000, b, 53), "\xff\xff\xff\xff\x00\x00\x00\x00\x11", -2, 0, nil},
		{"its zone", 0, tuple(a, 1000, b, 53), "\xff\xff\xff\xff\x00\x00\x00\x00\x11\x00\x05", 0, 0, []int64{confirmed | 1<<5 | 1<<8, 0, 1<<31 - 1, 5<<8 | 3}},
		{"a translated reply", 0, tuple(c, 53, a, 1000), "\xff\xff\xff\xff\x00\x00\x00\x00\x11\x00\x05", 0, 1, []int64{confirmed | 1<<5 | 1<<8, 0, 1<<31 - 1, 5<<8 | 3}},
		{"another namespace", 0, tuple(a, 1000, b, 81), "\xff\xff\xff\xff\x00\x00\x00\x00\x06", -2, 0, nil},
		{"its namespace", 0, tuple(a, 1000, b, 81), "\x02\x00\x00\x00\x00\x00\x00\x00\x06", 0, 0, []int64{confirmed, 0, 1<<31 - 1, 3}},
		{"no namespace", 0, tuple(a, 1000, b, 81), "\x03\x00\x00\x00\x00\x00\x00\x00\x06", -64, 0, nil},
	}
	for _, types := range []program.LinkOptions{{}, {NoHostTypes: true}} {
		w, err := world.Parse("world.yaml", []byte(trackingWorld))
		if err != nil {
			t.Fatal(err)
		}
		env := &vmexec.Env{Now: func() time.Duration { return now }}
		w.Into(env)
		p, err := program.Open(filepath.Join("testdata", "kfunc", "conntrack.bpf.o"))
		if err != nil {
			t.Fatal(err)
		}
		coll, err := vm.NewCollectionWithOptions(p.Spec, vm.CollectionOptions{Programs: vm.ProgramOptions{Env: env, Link: types}})
		if err != nil {
			t.Fatal(err)
		}
		defer coll.Close()
		r := runner{"machine", coll.Programs["xdp_lookup"].Run, func(name string) variable { return coll.Variables[name] }}
		for _, tt := range tests {
			now = tt.at
			in := kfuncInput{In: [8]uint64{12, 16}, Data: make([]byte, 64)}
			copy(in.Text[0][:], tt.tuple)
			copy(in.Text[1][:], tt.opts)
			got := r.do(t, &in)
			if err := int32(binary.LittleEndian.Uint32(got.Text[1][4:])); err != tt.err || got.Text[1][9] != tt.dir || (got.Out[0] == 1) != (tt.want != nil) {
				t.Errorf("%s: found %d, error %d, direction %d", tt.name, got.Out[0], err, got.Text[1][9])
			}
			if diff := cmp.Diff(tt.want, got.Out[8:8+len(tt.want)]); tt.want != nil && diff != "" {
				t.Errorf("%s: -want +got\n%s", tt.name, diff)
			}
		}
	}
}

// segment is a TCP segment to port 80 of 10.0.0.2.
func segment(sport uint16, flags byte) []byte {
	b := append(make([]byte, 12), "\x08\x00\x45\x00\x00\x28\x00\x00\x40\x00\x40\x06\x26\xce"...)
	b = append(b, tuple([4]byte{10, 0, 0, 1}, sport, [4]byte{10, 0, 0, 2}, 80)...)
	b = append(b, make([]byte, 8)...)
	b = append(b, 0x50, flags, 0xff, 0xff)
	sum := uint32(len(b) - 34 + 4 + 6) // of the pseudo header: length and protocol
	for i := 26; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	return append(binary.BigEndian.AppendUint16(b, ^uint16(sum+sum>>16)), 0, 0)
}

// TestSynProxy runs the example of Linux's selftests, which lets the packets of tracked
// connections pass, and answers others' SYN with a cookie.
func TestSynProxy(t *testing.T) {
	packed := filepath.Join(testenv.Data(t, "verifier-perf"), "xdp_synproxy_kern.bpf.o.xz")
	object, err := exec.Command("xz", "-dc", packed).Output()
	if err != nil {
		t.Skipf("unpack %s: %v", packed, err)
	}
	p, err := program.Read("xdp_synproxy_kern.bpf.o", bytes.NewReader(object))
	if err != nil {
		t.Fatal(err)
	}
	w, err := world.Parse("world.yaml", []byte(trackingWorld))
	if err != nil {
		t.Fatal(err)
	}
	env := new(vmexec.Env)
	w.Into(env)
	coll, err := vm.NewCollectionWithOptions(p.Spec, vm.CollectionOptions{Programs: vm.ProgramOptions{Env: env}})
	if err != nil {
		t.Fatal(err)
	}
	defer coll.Close()
	if err := coll.Maps["allowed_ports"].Put(uint32(0), uint16(80)); err != nil {
		t.Fatal(err)
	}
	const syn, ack = 2, 16
	const drop, pass, tx = 1, 2, 3
	for _, tt := range []struct {
		name string
		data []byte
		want uint32
	}{
		{"of a tracked connection", segment(1000, ack), pass},
		{"of none", segment(1001, ack), drop},
		{"that begins one", segment(1001, syn), tx},
	} {
		got, _, err := coll.Programs["syncookie_xdp"].Test(tt.data)
		if err != nil || got != tt.want {
			t.Errorf("a segment %s: %d, %v; want %d", tt.name, got, err, tt.want)
		}
	}
}
