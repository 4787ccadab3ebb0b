package attached

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/exec"
)

// segmentsSeen is what the program leaves of a packet: what it was, how each call of a
// helper ended, and what it is then.
type segmentsSeen struct {
	Before, After [2]uint64 // bytes, and how loading them ended
	Results       [4]int64
	Packets       [2][512]byte
}

// segmentCall is a call of one of the helpers, with the memory that it is given.
type segmentCall struct {
	helper asm.BuiltinFunc
	at, n  int32 // n: the second number of bpf_lwt_seg6_adjust_srh
	data   []byte
}

// TestSegmentRouting has a route's End.BPF change the header of segments of packets that
// come in, and compares what the helpers answer and what they make of the packets.
func TestSegmentRouting(t *testing.T) {
	const srh, tlv = 40, 40 + 8 + 2*16 // where the packet's header and its TLVs begin
	address := func(last byte) []byte { return netip.AddrFrom16([16]byte{0: 0xfd, 1: 1, 15: last}).AsSlice() }
	to := func(network byte) []byte { return netip.AddrFrom16([16]byte{0: 0xfd, 1: network, 15: 1}).AsSlice() }
	store := func(at int32, data ...byte) segmentCall {
		return segmentCall{helper: asm.FnLwtSeg6StoreBytes, at: at, data: data}
	}
	adjust := func(at, n int32) segmentCall { return segmentCall{helper: asm.FnLwtSeg6AdjustSrh, at: at, n: n} }
	action := func(action int32, data ...byte) segmentCall {
		return segmentCall{helper: asm.FnLwtSeg6Action, at: action, data: data}
	}
	number := func(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }
	header := func(left, last byte, tlvs ...byte) []byte {
		h := []byte{59, byte((16*(int(last)+1) + len(tlvs)) / 8), 4, left, last, 0, 0, 7}
		for i := range last + 1 {
			h = append(h, address(9-i)...)
		}
		return append(h, tlvs...)
	}
	const endX, endT, endDT6, endB6, endB6Encap = 2, 3, 7, 9, 10
	for name, calls := range map[string][]segmentCall{
		"tag":                      {store(srh+6, 1, 2)},
		"flags and tag":            {store(srh+5, 0, 1, 2)},
		"before the flags":         {store(srh+4, 0, 0)},
		"tag and a segment":        {store(srh+6, 1, 2, 3)},
		"a segment":                {store(srh+8, 1)},
		"end of the segments":      {store(tlv-8, 1, 2, 3, 4), action(endX, address(5)...)},
		"a TLV":                    {store(tlv, 4, 6, 1, 2, 3, 4, 5, 6), action(endX, address(5)...)},
		"a TLV that is too long":   {store(tlv, 4, 7), action(endX, address(5)...)},
		"behind the TLVs":          {store(tlv+16, 4, 6)},
		"far behind":               {store(1<<30, 4, 6)},
		"room at the end":          {adjust(tlv+16, 8), store(tlv+16, 4, 6, 1, 2, 3, 4, 5, 6), action(endX, address(5)...)},
		"room in the middle":       {adjust(tlv+8, 16), store(tlv+8, 4, 14), action(endT, number(unix.RT_TABLE_MAIN)...)},
		"room of half a unit":      {adjust(tlv, 4), action(endX, address(5)...)},
		"room of zeros":            {adjust(tlv, 8), action(endX, address(5)...)},
		"no room":                  {adjust(tlv, 0), action(endX, address(5)...)},
		"less":                     {adjust(tlv, -8), action(endX, address(5)...)},
		"much less":                {adjust(tlv, -16), action(endX, address(5)...)},
		"less than nothing":        {adjust(tlv+8, -16)},
		"room among the segments":  {adjust(tlv-1, 8)},
		"room behind":              {adjust(tlv+17, 8)},
		"nowhere":                  {action(endX, to(7)...)},
		"a blackhole":              {action(endX, to(8)...)},
		"prohibited":               {action(endX, to(9)...)},
		"no address":               {action(endX, number(1)...)},
		"no table":                 {action(endT, address(1)...)},
		"unknown action":           {action(4, number(1)...), action(200, number(1)...)},
		"another header, inline":   {action(endB6, header(1, 1)...), action(endX, address(5)...)},
		"another header, outside":  {action(endB6Encap, header(1, 1)...), action(endX, address(5)...)},
		"a segment alone":          {action(endB6, header(0, 0)...)},
		"TLVs of its own":          {action(endB6Encap, header(1, 1, 4, 6, 1, 2, 3, 4, 5, 6)...), adjust(tlv+8, 8)},
		"more left than there are": {action(endB6, header(2, 1)...)},
		"no header":                {action(endB6Encap, header(1, 2)[:32]...)},
		"signed":                   {action(endB6Encap, slices.Replace(header(1, 1), 5, 6, 8)...)},
		"another twice":            {action(endB6Encap, header(1, 1)...), action(endB6, header(1, 1)...)},
		"out of it":                {action(endDT6, number(unix.RT_TABLE_MAIN)...), adjust(40, 8)},
		"out of two":               {action(endB6Encap, header(1, 1)...), action(endDT6, number(unix.RT_TABLE_MAIN)...)},
	} {
		t.Run(name, func(t *testing.T) {
			for _, inner := range []byte{41, 17} {
				packet := segmentPacket(inner)
				spec := segmentProgram(calls)
				linux := inKernel(t, spec.Copy())
				endBPF(t, linux.Programs["segments"], packet)
				var want segmentsSeen
				if err := linux.Maps["seen"].Lookup(uint32(0), &want); err != nil {
					t.Fatal(err)
				}
				if want.Before[0] == 0 {
					t.Fatal("the packet did not get to the program")
				}

				machine := inMachine(t, spec.Copy(), segmentWorld())
				in := slices.Concat(packet[:14], want.Packets[0][:want.Before[0]])
				var out vm.Output
				if err := machine.Programs["segments"].Exec(t.Context(), &vm.Input{Data: in}, &out); err != nil {
					t.Fatal(err)
				}
				var got segmentsSeen
				if err := machine.Maps["seen"].Lookup(uint32(0), &got); err != nil {
					t.Fatal(err)
				}
				if name == "signed" { // Linux leaves memory as it was in the length of such a packet
					copy(want.Packets[1][4:6], got.Packets[1][4:6])
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("protocol %d in it, kernel - / machine +\n%s", inner, diff)
				}
			}
		})
	}
}

// segmentPacket is a frame with a header of two segments, of which the first is being
// gone to, and TLVs. An inner packet follows, or UDP.
func segmentPacket(inner byte) []byte {
	src, dst := netip.MustParseAddr("fd02::9").AsSlice(), netip.MustParseAddr("fd01::1").AsSlice()
	ip := func(next byte, hops byte, src, dst, payload []byte) []byte {
		p := []byte{0x61, 0x23, 0x45, 0x67, 0, byte(len(payload)), next, hops}
		return slices.Concat(p, src, dst, payload)
	}
	payload := slices.Concat([]byte{0, 7, 0, 7, 0, 12, 0, 0}, []byte("text"))
	if inner == 41 {
		payload = ip(17, 9, src, netip.MustParseAddr("fd01::77").AsSlice(), payload)
	}
	srh := slices.Concat([]byte{inner, 6, 4, 1, 1, 0, 0, 0}, netip.MustParseAddr("fd01::42").AsSlice(), dst)
	srh = append(srh, 4, 6, 0, 0, 0, 0, 0, 0, 4, 6, 1, 1, 1, 1, 1, 1)
	ethernet := []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd}
	return append(ethernet, ip(43, 64, src, dst, append(srh, payload...))...)
}

// segmentProgram makes the calls, and leaves what it saw in the map seen.
func segmentProgram(calls []segmentCall) *ebpf.CollectionSpec {
	const (
		before, after, results, packets = 0, 16, 32, 64
		longest                         = 511
	)
	in := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMapValue(asm.R7, 0, 0).WithReference("seen"),
	}
	load := func(number, to int32) {
		in = append(in,
			asm.LoadMem(asm.R4, asm.R6, 0, asm.Word),
			asm.JGT.Imm(asm.R4, longest, "end"),
			asm.JLT.Imm(asm.R4, 1, "end"), // older verifiers learn nothing of "not 0"
			asm.StoreMem(asm.R7, int16(number), asm.R4, asm.DWord),
			asm.Mov.Reg(asm.R1, asm.R6), asm.Mov.Imm(asm.R2, 0),
			asm.Mov.Reg(asm.R3, asm.R7), asm.Add.Imm(asm.R3, to),
			asm.FnSkbLoadBytes.Call(),
			asm.StoreMem(asm.R7, int16(number+8), asm.R0, asm.DWord),
		)
	}
	load(before, packets)
	for i, c := range calls {
		const stack = 64
		for j := 0; j < len(c.data); j += 8 {
			var word [8]byte
			copy(word[:], c.data[j:])
			in = append(in, asm.LoadImm(asm.R1, int64(binary.NativeEndian.Uint64(word[:])), asm.DWord),
				asm.StoreMem(asm.R10, int16(j-stack), asm.R1, asm.DWord))
		}
		in = append(in, asm.Mov.Reg(asm.R1, asm.R6), asm.Mov.Imm(asm.R2, c.at))
		if c.helper == asm.FnLwtSeg6AdjustSrh {
			in = append(in, asm.Mov.Imm(asm.R3, c.n))
		} else {
			in = append(in, asm.Mov.Reg(asm.R3, asm.R10), asm.Add.Imm(asm.R3, -stack), asm.Mov.Imm(asm.R4, int32(len(c.data))))
		}
		in = append(in, c.helper.Call(), asm.StoreMem(asm.R7, int16(results+8*i), asm.R0, asm.DWord))
	}
	load(after, packets+512)
	in = append(in, asm.Mov.Imm(asm.R0, 2).WithSymbol("end"), asm.Return()) // BPF_DROP
	return &ebpf.CollectionSpec{
		Maps: map[string]*ebpf.MapSpec{"seen": {
			Name: "seen", Type: ebpf.Array, KeySize: 4, ValueSize: uint32(binary.Size(segmentsSeen{})), MaxEntries: 1,
		}},
		Programs: map[string]*ebpf.ProgramSpec{"segments": {
			Name: "segments", Type: ebpf.LWTSeg6Local, License: "GPL", Instructions: in,
		}},
	}
}

// segmentWorld is the network that [endBPF] makes.
func segmentWorld() *exec.Env {
	to := func(prefix string, kind exec.RouteKind) exec.Route {
		return exec.Route{Dst: netip.MustParsePrefix(prefix), Kind: kind, Ifindex: loopback}
	}
	return &exec.Env{Net: &exec.Routes{
		Interfaces: []exec.Interface{{Index: loopback, Name: "in", MTU: 1500, Forwarding: true, Addrs: []netip.Prefix{netip.MustParsePrefix("fd02::1/64")}}},
		Routes: []exec.Route{
			to("fd01::/64", exec.Unicast), to("fd08::/64", exec.Blackhole), to("fd09::/64", exec.Prohibit),
		},
	}}
}

// endBPF has a packet come in by an interface of a namespace of its own, on the way to
// a route that is End.BPF with a program.
func endBPF(t *testing.T, p *ebpf.Program, packet []byte) {
	t.Helper()
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	network(t)
	in := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "in", HardwareAddr: packet[:6]}, PeerName: "out", PeerHardwareAddr: packet[6:12]}
	must("make a veth pair", netlink.LinkAdd(in))
	out, err := netlink.LinkByName("out")
	must("find the other end", err)
	for _, name := range []string{"all", "in"} {
		for _, setting := range []string{"forwarding", "seg6_enabled"} {
			sysctl(t, fmt.Sprintf("net/ipv6/conf/%s/%s", name, setting), "1")
		}
	}
	sysctl(t, "net/ipv6/conf/in/accept_dad", "0")
	must("set the interface up", netlink.LinkSetUp(in))
	must("set the other end up", netlink.LinkSetUp(out))
	own, err := netlink.ParseAddr("fd02::1/64")
	must("parse", err)
	own.Flags = unix.IFA_F_NODAD
	must("give it an address", netlink.AddrAdd(in, own))
	for prefix, kind := range map[string]int{"fd01::/64": unix.RTN_UNICAST, "fd08::/64": unix.RTN_BLACKHOLE, "fd09::/64": unix.RTN_PROHIBIT} {
		_, dst, err := net.ParseCIDR(prefix)
		must("parse", err)
		r := &netlink.Route{Dst: dst, Type: kind}
		if kind == unix.RTN_UNICAST {
			r.LinkIndex = in.Index
		}
		must("make a route to "+prefix, netlink.RouteAdd(r))
	}
	encap := &netlink.SEG6LocalEncap{Action: nl.SEG6_LOCAL_ACTION_END_BPF}
	encap.Flags[nl.SEG6_LOCAL_BPF] = true
	if err := encap.SetProg(p.FD(), "segments"); err != nil {
		t.Fatal(err)
	}
	_, dst, err := net.ParseCIDR("fd01::1/128")
	must("parse", err)
	if err := netlink.RouteAdd(&netlink.Route{Dst: dst, LinkIndex: in.Index, Encap: encap}); err != nil {
		t.Skipf("the running kernel makes no route that is End.BPF: %v", err)
	}
	s, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
	must("open a packet socket", err)
	defer unix.Close(s)
	must("send", unix.Sendto(s, packet, 0, &unix.SockaddrLinklayer{Ifindex: out.Attrs().Index}))
}

// sysctl sets what is the network namespace's own.
func sysctl(t *testing.T, name, value string) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/"+name, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}
