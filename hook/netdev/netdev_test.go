package netdev

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/hook/capture"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/exec"
)

// bench is a network with programs.
type bench struct {
	net   *Network
	coll  *vm.Collection
	steps strings.Builder // what programs returned
}

func build(t *testing.T, cfg *Config, spec *ebpf.CollectionSpec, opts Options) *bench {
	t.Helper()
	return buildWith(t, cfg, spec, opts, vm.ProgramOptions{})
}

func buildWith(t *testing.T, cfg *Config, spec *ebpf.CollectionSpec, opts Options, progs vm.ProgramOptions) *bench {
	t.Helper()
	b := &bench{}
	opts.AfterRun = func(r *Run) error {
		fmt.Fprintf(&b.steps, "%s %s %s: %s %+v\n", r.Interface.Name, r.Hook, r.Program, r.Verdict, r.Redirect)
		return nil
	}
	var err error
	if b.net, err = cfg.Build(opts); err != nil {
		t.Fatal(err)
	}
	progs.Env = b.net.Env(exec.Env{})
	b.coll, err = vm.NewCollectionWithOptions(spec, vm.CollectionOptions{Programs: progs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.coll.Close)
	if err := cfg.Connect(b.net, b.coll); err != nil {
		t.Fatal(err)
	}
	return b
}

// example is examples/redirect.
func example(t *testing.T) (*Config, *ebpf.CollectionSpec, [][]byte) {
	t.Helper()
	const dir = "../../examples/redirect/"
	text, err := os.ReadFile(dir + "net.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := ParseConfig("net.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := ebpf.LoadCollectionSpec(dir + "redirect.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	in, err := capture.Open(dir + "traffic.pcap")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var frames [][]byte
	for {
		p, err := in.Next()
		if errors.Is(err, io.EOF) {
			return cfg, spec, frames
		}
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, append([]byte(nil), p.Data...))
	}
}

// TestExample runs examples/redirect without a kernel.
func TestExample(t *testing.T) {
	cfg, spec, frames := example(t)
	left := map[string]int{}
	b := build(t, cfg, spec, Options{Tap: func(i *Interface, d Direction, _ []byte) error {
		left[i.Name+" "+d.String()]++
		return nil
	}})
	for _, f := range frames {
		check(t, b.net.Receive(context.Background(), b.net.ByName(cfg.Input), f))
	}
	want := map[string]int{"eth0 rx": 222, "link0 tx": 54, "host0 rx": 54, "link1 tx": 152, "host1 rx": 152}
	if diff := gocmp.Diff(want, left); diff != "" {
		t.Errorf("frames (-want +got):\n%s", diff)
	}
	if c := b.net.ByName("eth0").Counters; c != (Counters{RX: 222, Redirect: 206, Stack: 16}) {
		t.Errorf("eth0 counts %+v", c)
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func prog(name string, typ ebpf.ProgramType, attach ebpf.AttachType, insns ...asm.Instruction) *ebpf.ProgramSpec {
	return &ebpf.ProgramSpec{Name: name, Type: typ, AttachType: attach, Instructions: append(insns, asm.Return()), License: "GPL"}
}

// specOf is a collection of programs, and maps for them.
func specOf(progs ...*ebpf.ProgramSpec) *ebpf.CollectionSpec {
	s := &ebpf.CollectionSpec{Programs: map[string]*ebpf.ProgramSpec{}, Maps: map[string]*ebpf.MapSpec{
		"devs":  {Name: "devs", Type: ebpf.DevMap, KeySize: 4, ValueSize: 8, MaxEntries: 4},
		"plain": {Name: "plain", Type: ebpf.DevMapHash, KeySize: 4, ValueSize: 4, MaxEntries: 4},
		"cpus":  {Name: "cpus", Type: ebpf.CPUMap, KeySize: 4, ValueSize: 8, MaxEntries: 4},
		"array": {Name: "array", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 4},
	}}
	for _, p := range progs {
		s.Programs[p.Name] = p
	}
	return s
}

func helper(fn asm.BuiltinFunc, args ...int32) []asm.Instruction {
	var insns []asm.Instruction
	for i, a := range args {
		insns = append(insns, asm.Mov.Imm(asm.R1+asm.Register(i), a))
	}
	return append(insns, fn.Call())
}

// longer grows a packet.
func longer(by int32) []asm.Instruction {
	return []asm.Instruction{asm.Mov.Imm(asm.R2, by), asm.FnXdpAdjustTail.Call()}
}

// ipv4 is a frame from 192.0.2.1 to 198.51.100.1, for interface 1's address.
func ipv4(ttl byte) []byte {
	f := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 99, 8, 0,
		0x45, 0, 0, 20, 0, 0, 0, 0, ttl, 17, 0, 0, 192, 0, 2, 1, 198, 51, 100, 1}
	var sum uint32
	for at := ethHeader; at < len(f); at += 2 {
		sum += uint32(binary.BigEndian.Uint16(f[at:]))
	}
	sum = sum&0xffff + sum>>16
	binary.BigEndian.PutUint16(f[24:], ^uint16(sum+sum>>16))
	return f
}

// checksum of an IPv4 header: 0 where it is right.
func checksum(frame []byte) uint16 {
	var sum uint32
	for at := ethHeader; at < ethHeader+20; at += 2 {
		sum += uint32(binary.BigEndian.Uint16(frame[at:]))
	}
	sum = sum&0xffff + sum>>16
	return ^uint16(sum + sum>>16)
}

// TestWays follows one packet through networks of all kinds.
func TestWays(t *testing.T) {
	tx := prog("tx", ebpf.XDP, 0, asm.Mov.Imm(asm.R0, xdpTX))
	for _, tt := range []struct {
		name, net string
		progs     []*ebpf.ProgramSpec
		ttl       byte
		want      map[string]Counters
		why       string // the only reason for a drop
		last      []byte // the addresses of the last frame that b transmits
	}{
		{
			name: "two interfaces that send everything back: a loop",
			net: `{input: a, max_hops: 10, interfaces: [{name: a, peer: b}, {name: b}],
				attach: [{if: a, hook: xdp, prog: tx}, {if: b, hook: xdp, prog: tx}]}`,
			progs: []*ebpf.ProgramSpec{tx},
			want: map[string]Counters{
				"a": {RX: 5, TX: 5},
				"b": {RX: 5, TX: 5, Drop: 1, Loop: 1},
			},
			why: "b: 10 interfaces on the way: programs send packets round in a circle",
		},
		{
			name:  "a redirect into itself: a loop",
			net:   `{interfaces: [{name: a}], max_hops: 4, attach: [{if: a, hook: tcx/ingress, prog: in}]}`,
			progs: []*ebpf.ProgramSpec{prog("in", ebpf.SchedCLS, 0, helper(asm.FnRedirect, 1, 1)...)},
			want:  map[string]Counters{"a": {RX: 4, Redirect: 4, Drop: 1, Loop: 1}},
			why:   "a: 4 interfaces on the way: programs send packets round in a circle",
		},
		{
			name: "to the peer in another namespace",
			net: `{input: a, interfaces: [{name: a}, {name: b, peer: c}, {name: c, netns: pod}],
				attach: [{if: a, hook: tcx/ingress, prog: peer}]}`,
			progs: []*ebpf.ProgramSpec{prog("peer", ebpf.SchedCLS, 0, helper(asm.FnRedirectPeer, 2, 0)...)},
			want:  map[string]Counters{"a": {RX: 1, Redirect: 1}, "b": {}, "c": {RX: 1, Stack: 1}},
		},
		{
			name: "to a peer in the same namespace: Linux refuses",
			net: `{input: a, interfaces: [{name: a}, {name: b, peer: c}, {name: c}],
				attach: [{if: a, hook: tcx/ingress, prog: peer}]}`,
			progs: []*ebpf.ProgramSpec{prog("peer", ebpf.SchedCLS, 0, helper(asm.FnRedirectPeer, 2, 0)...)},
			want:  map[string]Counters{"a": {RX: 1, Redirect: 1, Drop: 1, Err: 1}, "b": {}, "c": {}},
			why:   "a: bpf_redirect_peer to b, whose peer c is in the same network namespace",
		},
		{
			name:  "to the peer of an interface that has none",
			net:   `{input: a, interfaces: [{name: a}, {name: b}], attach: [{if: a, hook: tcx/ingress, prog: peer}]}`,
			progs: []*ebpf.ProgramSpec{prog("peer", ebpf.SchedCLS, 0, helper(asm.FnRedirectPeer, 2, 0)...)},
			want:  map[string]Counters{"a": {RX: 1, Redirect: 1, Drop: 1, Err: 1}, "b": {}},
			why:   "a: bpf_redirect_peer to b, which has no peer",
		},
		{
			name:  "to an interface that does not exist",
			net:   `{interfaces: [{name: a}], attach: [{if: a, hook: xdp, prog: out}]}`,
			progs: []*ebpf.ProgramSpec{prog("out", ebpf.XDP, 0, helper(asm.FnRedirect, 99, 0)...)},
			want:  map[string]Counters{"a": {RX: 1, Redirect: 1, Drop: 1, Err: 1}},
			why:   "a: a redirect to interface 99, which does not exist in its network namespace",
		},
		{
			name:  "a redirect to nowhere",
			net:   `{interfaces: [{name: a}], attach: [{if: a, hook: tcx/ingress, prog: out}]}`,
			progs: []*ebpf.ProgramSpec{prog("out", ebpf.SchedCLS, 0, asm.Mov.Imm(asm.R0, 7))},
			want:  map[string]Counters{"a": {RX: 1, Redirect: 1, Drop: 1, Err: 1}},
			why:   "a: a program said redirect, and no helper had said where to",
		},
		{
			name: "longer than the other end takes",
			net: `{input: a, interfaces: [{name: a}, {name: b, mtu: 100, peer: c}, {name: c, mtu: 68}],
				attach: [{if: a, hook: xdp, prog: out}]}`,
			progs: []*ebpf.ProgramSpec{prog("out", ebpf.XDP, 0, append(longer(60), helper(asm.FnRedirect, 2, 0)...)...)},
			want:  map[string]Counters{"a": {RX: 1, Redirect: 1}, "b": {}, "c": {Drop: 1, Err: 1}},
			why:   "c: a frame of 94 bytes is too long for an MTU of 68",
		},
		{
			name: "XDP out of an interface in another namespace",
			net: `{input: a, interfaces: [{name: a}, {name: b, netns: pod}],
				attach: [{if: a, hook: xdp, prog: out}]}`,
			progs: []*ebpf.ProgramSpec{prog("out", ebpf.XDP, 0, helper(asm.FnRedirect, 2, 0)...)},
			want:  map[string]Counters{"a": {RX: 1, Redirect: 1, Drop: 1, Err: 1}, "b": {}},
		},
		{
			name: "to a neighbour",
			net: `{input: a, interfaces: [{name: a}, {name: b, addrs: [198.51.100.9/24]}],
				neighbours: [{if: b, addr: 198.51.100.1, mac: "02:00:00:00:00:77"}],
				attach: [{if: a, hook: tcx/ingress, prog: neigh}]}`,
			progs: []*ebpf.ProgramSpec{prog("neigh", ebpf.SchedCLS, 0, helper(asm.FnRedirectNeigh, 2, 0, 0, 0)...)},
			want:  map[string]Counters{"a": {RX: 1, Redirect: 1}, "b": {TX: 1}},
			last:  []byte{2, 0, 0, 0, 0, 0x77, 2, 0, 0, 0, 0, 2},
		},
		{
			name: "to a neighbour that nobody knows",
			net: `{input: a, interfaces: [{name: a}, {name: b, addrs: [198.51.100.9/24]}],
				attach: [{if: a, hook: tcx/ingress, prog: neigh}]}`,
			progs: []*ebpf.ProgramSpec{prog("neigh", ebpf.SchedCLS, 0, helper(asm.FnRedirectNeigh, 2, 0, 0, 0)...)},
			want:  map[string]Counters{"a": {RX: 1, Redirect: 1, Drop: 1, Err: 1}, "b": {}},
		},
		{
			name: "forwarded by a route",
			net: `{input: a, interfaces: [{name: a, forward: true, addrs: [192.0.2.9/24]}, {name: b, addrs: [203.0.113.1/24]}],
				routes: [{dst: 198.51.100.0/24, via: 203.0.113.2, if: b}],
				neighbours: [{if: b, addr: 203.0.113.2, mac: "02:00:00:00:00:78"}]}`,
			want: map[string]Counters{"a": {RX: 1, Forward: 1}, "b": {TX: 1}},
			last: []byte{2, 0, 0, 0, 0, 0x78, 2, 0, 0, 0, 0, 2},
		},
		{
			name: "too old to be forwarded", ttl: 1,
			net: `{input: a, interfaces: [{name: a, forward: true, addrs: [192.0.2.9/24]}, {name: b, addrs: [198.51.100.9/24]}],
				neighbours: [{if: b, addr: 198.51.100.1, mac: "02:00:00:00:00:77"}]}`,
			want: map[string]Counters{"a": {RX: 1, Drop: 1, Err: 1}, "b": {}},
		},
		{
			name: "not to be forwarded: it stays here",
			net:  `{input: a, interfaces: [{name: a, forward: true, addrs: [192.0.2.9/24]}, {name: b}]}`,
			want: map[string]Counters{"a": {RX: 1, Stack: 1}, "b": {}},
		},
		{
			name: "dropped as it leaves",
			net: `{input: a, interfaces: [{name: a}, {name: b}],
				attach: [{if: a, hook: xdp, prog: out}], maps: {devs: [{key: 0, if: b, prog: leaves}]}}`,
			progs: []*ebpf.ProgramSpec{
				prog("out", ebpf.XDP, 0, redirectMap("devs", 0, 0)...),
				prog("leaves", ebpf.XDP, ebpf.AttachXDPDevMap, asm.Mov.Imm(asm.R0, 1)),
			},
			want: map[string]Counters{"a": {RX: 1, Redirect: 1}, "b": {Drop: 1}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg, err := ParseConfig("net.yaml", []byte(strings.ReplaceAll(tt.net, "\t", " ")))
			check(t, err)
			var last []byte
			b := build(t, cfg, specOf(tt.progs...), Options{Tap: func(i *Interface, d Direction, frame []byte) error {
				if i.Name == "b" && d == TX {
					last = bytes.Clone(frame)
				}
				return nil
			}})
			check(t, b.net.Receive(context.Background(), b.net.ByName(cfg.Input), ipv4(cmp.Or(tt.ttl, 64))))
			got := map[string]Counters{}
			for _, i := range b.net.Interfaces() {
				got[i.Name] = i.Counters
			}
			if diff := gocmp.Diff(tt.want, got); diff != "" {
				t.Errorf("counters (-want +got):\n%s", diff)
			}
			reasons := map[string]bool{}
			for _, i := range b.net.Interfaces() {
				for why := range i.Reasons {
					reasons[i.Name+": "+why] = true
				}
			}
			if tt.why != "" && (len(reasons) != 1 || !reasons[tt.why]) {
				t.Errorf("got  %v\nwant %s", reasons, tt.why)
			}
			if tt.last != nil && (len(last) < 12 || !bytes.Equal(last[:12], tt.last) || checksum(last) != 0) {
				t.Errorf("b transmits %x (checksum %#x), want it to begin with %x", last, checksum(last), tt.last)
			}
		})
	}
}

// TestCPU: a program of a cpumap runs on the CPU that packets were sent to.
func TestCPU(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("the machine has one CPU")
	}
	cfg, err := ParseConfig("net.yaml", []byte(`{interfaces: [{name: a}],
		attach: [{if: a, hook: xdp, prog: out}], maps: {cpus: [{cpu: 1, prog: there}]}}`))
	check(t, err)
	b := build(t, cfg, specOf(
		prog("out", ebpf.XDP, 0, redirectMap("cpus", 1, 0)...),
		// On CPU n it returns n + 1: XDP_PASS on CPU 1.
		prog("there", ebpf.XDP, ebpf.AttachXDPCPUMap, asm.FnGetSmpProcessorId.Call(), asm.Add.Imm(asm.R0, 1)),
	), Options{})
	check(t, b.net.Receive(context.Background(), b.net.ByName("a"), ipv4(64)))
	if c := b.net.ByName("a").Counters; c != (Counters{RX: 1, Redirect: 1, Stack: 1}) {
		t.Errorf("counts %+v", c)
	}
}

// TestQueues: a flow has one queue, and flows have several.
func TestQueues(t *testing.T) {
	seen := map[uint32]bool{}
	for host := range byte(20) {
		f := ipv4(64)
		f[29] = host
		queue := rss(f) % 4
		if tagged := append(append(bytes.Clone(f[:12]), 0x81, 0, 0, 9), f[12:]...); rss(tagged)%4 != queue {
			t.Errorf("host %d: a tag changes the queue", host)
		}
		seen[queue] = true
	}
	if len(seen) < 3 {
		t.Errorf("20 flows use queues %v of 4", seen)
	}
	for n := range 60 { // frames that end early
		rss(ipv4(64)[:max(ethHeader, min(n, 34))])
	}
}

// TestWrong holds the sentences about networks that cannot be.
func TestWrong(t *testing.T) {
	spec := specOf(
		prog("pass", ebpf.XDP, 0, asm.Mov.Imm(asm.R0, xdpPass)),
		prog("tc", ebpf.SchedCLS, 0, asm.Mov.Imm(asm.R0, 0)),
		prog("leaves", ebpf.XDP, ebpf.AttachXDPDevMap, asm.Mov.Imm(asm.R0, xdpPass)),
	)
	for _, tt := range []struct{ net, want string }{
		{`{}`, "net.yaml: it has no interfaces"},
		{`{interfaces: [{name: a}, {name: b}]}`, "net.yaml: it does not say at which interface packets arrive: add input: a"},
		{`{input: c, interfaces: [{name: a}]}`, `net.yaml: input: there is no interface "c"; there is a`},
		{`{interfaces: [{name: a, mtuu: 3}]}`, "net.yaml:1: unknown field mtuu; did you mean mtu?"},
		{`{interfaces: [{name: a, mtu: 3}]}`, "net.yaml: add interface a: its MTU is 3; it lies between 68 and 65535"},
		{`{input: a, interfaces: [{name: a}, {name: a}]}`, "net.yaml: add interface a: there is one of this name already"},
		{`{input: a, interfaces: [{name: a, index: 3}, {name: b, index: 3}]}`, "net.yaml: add interface b: its index, 3, is that of a"},
		{`{interfaces: [{index: 3}], input: a}`, `net.yaml: add interface "" with index 3: it needs a name, and an index from 1`},
		{`{interfaces: [{name: a, peer: b}]}`, "net.yaml: interface a: its peer b is missing; there is a"},
		{`{interfaces: [{name: a, peer: a}]}`, "net.yaml: pair a with itself: a veth pair is two interfaces"},
		{`{input: a, interfaces: [{name: a, peer: b}, {name: b}, {name: c, peer: a}]}`, "net.yaml: pair c with a: a is the peer of b already"},
		{`{interfaces: [{name: a, mac: "02:00"}]}`, `net.yaml: interface a: "02:00" is no MAC address such as 02:00:00:00:00:01`},
		{`{interfaces: [{name: a, addrs: [192.0.2.1]}]}`, `net.yaml: interface a: "192.0.2.1" is no address with the length of its network, such as 192.0.2.1/24`},
		{`{interfaces: [{name: a}], routes: [{dst: x, if: a}]}`, `net.yaml: route: "x" is no network such as 192.0.2.0/24`},
		{`{interfaces: [{name: a}], neighbours: [{if: a, addr: 1.2.3}]}`, `net.yaml: neighbour of a: "1.2.3" is no IP address`},
		{`{interfaces: [{name: a}], attach: [{if: b, hook: xdp, prog: pass}]}`, `net.yaml: attach pass: there is no interface "b"; there is a`},
		{`{interfaces: [{name: a}], attach: [{if: a, hook: xdp, prog: non}]}`, `net.yaml: attach: there is no program "non"`},
		{`{interfaces: [{name: a}], attach: [{if: a, hook: tc, prog: tc}]}`, "net.yaml: attach program tc to a at tc: there is no such hook; there is xdp, tcx/ingress, tcx/egress"},
		{`{interfaces: [{name: a}], attach: [{if: a, hook: xdp, prog: tc}]}`, "net.yaml: attach program tc to a at xdp: the program is of type SchedCLS, and the hook takes XDP"},
		{`{interfaces: [{name: a}], attach: [{if: a, hook: xdp, prog: leaves}]}`, "net.yaml: attach program leaves to a at xdp: it was written for a map (section xdp/devmap): put it into one"},
		{`{interfaces: [{name: a}], attach: [{if: a, hook: xdp, prog: pass}, {if: a, hook: xdp, prog: pass}]}`, "net.yaml: attach program pass to a at xdp: program pass is there already, and an interface has one"},
		{`{interfaces: [{name: a}], maps: {none: []}}`, "net.yaml: maps: the programs use no map none"},
		{`{interfaces: [{name: a}], maps: {devs: [{key: 0, if: b}]}}`, `net.yaml: map devs: there is no interface "b"; there is a`},
		{`{interfaces: [{name: a}], maps: {devs: [{if: a}]}}`, "net.yaml: map devs: an entry needs a key (devmap) or a cpu (cpumap)"},
		{`{interfaces: [{name: a}], maps: {devs: [{key: 9, if: a}]}}`, "net.yaml: map devs: entry 9: update: E2BIG"},
		{`{interfaces: [{name: a}], maps: {devs: [{key: 0, if: a, prog: pass}]}}`, "net.yaml: map devs: program pass is not for it: its section must be xdp/devmap"},
		{`{interfaces: [{name: a}], maps: {cpus: [{cpu: 0, prog: leaves}]}}`, "net.yaml: map cpus: program leaves is not for it: its section must be xdp/cpumap"},
		{`{interfaces: [{name: a}], maps: {plain: [{key: 0, if: a, prog: leaves}]}}`, "net.yaml: values of map plain have no room for a program: make them struct bpf_devmap_val"},
		{`{interfaces: [{name: a}], maps: {array: [{key: 0, if: a}]}}`, "net.yaml: map array is of type Array; entries can be given for DevMap, DevMapHash and CPUMap"},
	} {
		t.Run(tt.net, func(t *testing.T) {
			err := wrong(t, tt.net, spec)
			if err == nil || err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

// wrong gives the first error of a network.
func wrong(t *testing.T, text string, spec *ebpf.CollectionSpec) error {
	cfg, err := ParseConfig("net.yaml", []byte(text))
	if err != nil {
		return err
	}
	n, err := cfg.Build(Options{})
	if err != nil {
		return err
	}
	coll, err := vm.NewCollection(spec)
	check(t, err)
	defer coll.Close()
	return cfg.Connect(n, coll)
}

// TestFault: a program whose run fails ends the network's, with where.
func TestFault(t *testing.T) {
	cfg, err := ParseConfig("net.yaml", []byte(`{interfaces: [{name: a}], attach: [{if: a, hook: xdp, prog: bad}]}`))
	check(t, err)
	loop := asm.Instructions{
		asm.Mov.Imm(asm.R0, 0),
		asm.Add.Imm(asm.R0, 1).WithSymbol("again"),
		asm.JLT.Imm(asm.R0, 1000, "again"),
	}
	b := buildWith(t, cfg, specOf(prog("bad", ebpf.XDP, 0, loop...)), Options{}, vm.ProgramOptions{Budget: 10})
	err = b.net.Receive(context.Background(), b.net.ByName("a"), ipv4(64))
	if err == nil || !strings.HasPrefix(err.Error(), "interface a, xdp: program bad") {
		t.Errorf("got %v", err)
	}
}

// redirectMap sends a packet where a map says.
func redirectMap(name string, key, flags int32) asm.Instructions {
	return asm.Instructions{
		asm.LoadMapPtr(asm.R1, 0).WithReference(name), asm.Mov.Imm(asm.R2, key), asm.Mov.Imm(asm.R3, flags), asm.FnRedirectMap.Call(),
	}
}

// FuzzReceive: whatever arrives, packets end somewhere, and are counted there.
func FuzzReceive(f *testing.F) {
	f.Add(ipv4(64), uint16(0))
	f.Add(append(append(ipv4(64)[:12:12], 0x81, 0, 0, 5, 8, 0), ipv4(9)[14:]...), uint16(12))
	f.Add([]byte{1, 2, 3}, uint16(21))
	f.Add(make([]byte, 4000), uint16(8))
	text := `{input: a, interfaces: [{name: a, queues: 3, forward: true, addrs: [192.0.2.9/24]}, {name: b, peer: c}, {name: c, mtu: 300}],
		routes: [{dst: 0.0.0.0/0, if: b, via: 192.0.2.1}], neighbours: [{if: b, addr: 192.0.2.1, mac: "02:00:00:00:00:07"}], max_hops: 9,
		attach: [{if: a, hook: xdp, prog: first}, {if: a, hook: tcx/ingress, prog: in}, {if: c, hook: tcx/ingress, prog: in}, {if: b, hook: tcx/egress, prog: tag}],
		maps: {devs: [{key: 0, if: a}, {key: 1, if: b}, {key: 2, if: c}]}}`
	f.Fuzz(func(t *testing.T, frame []byte, choice uint16) {
		if len(frame) > 1<<16 {
			return
		}
		cfg, err := ParseConfig("net.yaml", []byte(strings.ReplaceAll(text, "\t", " ")))
		check(t, err)
		b := build(t, cfg, specOf(
			prog("first", ebpf.XDP, 0, redirectMap("devs", int32(choice%5), 2|int32(choice/5%4)<<3)...),
			prog("in", ebpf.SchedCLS, 0, helper(asm.FnRedirect, int32(choice/20%4), int32(choice/80%2))...),
			prog("tag", ebpf.SchedCLS, 0, asm.Mov.Imm(asm.R2, 0x0081), asm.Mov.Imm(asm.R3, 9), asm.FnSkbVlanPush.Call(), asm.Mov.Imm(asm.R0, -1)),
		), Options{})
		check(t, b.net.Receive(context.Background(), b.net.ByName("a"), frame))
		var ended uint64
		for _, i := range b.net.Interfaces() {
			ended += i.Drop + i.Stack + i.TX // b and c pass on what they transmit
		}
		if ended == 0 {
			t.Error("the packet is gone")
		}
	})
}

// askedSockets remembers where sockets were looked for, and has none.
type askedSockets struct {
	exec.Sockets
	netns []int64
}

func (a *askedSockets) Lookup(q *exec.SocketQuery) *exec.Socket {
	a.netns = append(a.netns, q.NetNS)
	return nil
}

func (*askedSockets) Current() *exec.Socket  { return nil }
func (*askedSockets) At(uint64) *exec.Socket { return nil }

// Programs look for sockets in the namespace of the interface.
func TestNetNS(t *testing.T) {
	cfg, err := ParseConfig("net.yaml", []byte(`{input: a, interfaces: [{name: a}, {name: b, netns: pod}, {name: c, netns: other}, {name: d, netns: pod}],
		attach: [{if: a, hook: tcx/ingress, prog: look}, {if: b, hook: tcx/ingress, prog: look},
			{if: c, hook: tcx/ingress, prog: look}, {if: d, hook: tcx/ingress, prog: look}]}`))
	if err != nil {
		t.Fatal(err)
	}
	n, err := cfg.Build(Options{})
	if err != nil {
		t.Fatal(err)
	}
	look := prog("look", ebpf.SchedCLS, 0,
		asm.Mov.Imm(asm.R3, 0), asm.StoreMem(asm.RFP, -16, asm.R3, asm.DWord), asm.StoreMem(asm.RFP, -8, asm.R3, asm.DWord),
		asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, -16), asm.Mov.Imm(asm.R3, 12), // struct bpf_sock_tuple
		asm.Mov.Imm(asm.R4, -1), asm.Mov.Imm(asm.R5, 0), // BPF_F_CURRENT_NETNS
		asm.FnSkLookupUdp.Call(),
		asm.JEq.Imm(asm.R0, 0, "out"),
		asm.Mov.Reg(asm.R1, asm.R0), asm.FnSkRelease.Call(),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("out"))
	sockets := &askedSockets{}
	coll, err := vm.NewCollectionWithOptions(
		&ebpf.CollectionSpec{Programs: map[string]*ebpf.ProgramSpec{"look": look}},
		vm.CollectionOptions{Programs: vm.ProgramOptions{Env: n.Env(exec.Env{Sockets: sockets})}})
	if err != nil {
		t.Fatal(err)
	}
	defer coll.Close()
	if err := cfg.Connect(n, coll); err != nil {
		t.Fatal(err)
	}
	for _, i := range n.Interfaces() {
		if err := n.Receive(context.Background(), i, make([]byte, 60)); err != nil {
			t.Fatal(err)
		}
	}
	if diff := gocmp.Diff([]int64{-1, 2, 3, 2}, sockets.netns); diff != "" {
		t.Errorf("namespaces (-want +got):\n%s", diff)
	}
}
