package bench

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/hook/capture"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/vm"
)

// packetPrograms are programs of real objects, which run on that packet of the
// examples' captures that keeps them busiest.
var packetPrograms = []struct {
	row, object, prog string // objects of suites begin with the suite's name
}{
	{"firewall", "examples/firewall/firewall.bpf.o", "firewall"},
	{"flows", "examples/flows/flows.bpf.o", "flows"},
	{"protocount", "examples/protocount/protocount.bpf.o", "protocount"},
	{"redirect", "examples/redirect/redirect.bpf.o", "redirect"},
	{"tailparse", "examples/tailparse/tailparse.bpf.o", "tailparse"},
	{"forward", "examples/world/forward.bpf.o", "forward"},
	{"cilium/from_netdev", "cilium-core/bpf_host.o", "cil_from_netdev"},
	{"cilium/to_netdev", "cilium-core/bpf_host.o", "cil_to_netdev"},
	{"cilium/from_host", "cilium-core/bpf_host.o", "cil_from_host"},
	{"cilium/to_host", "cilium-core/bpf_host.o", "cil_to_host"},
	{"cilium/ipv4_from_netdev", "cilium-core/bpf_host.o", "tail_handle_ipv4_from_netdev"},
	{"cilium/ipv6_from_netdev", "cilium-core/bpf_host.o", "tail_handle_ipv6_from_netdev"},
	{"cilium/snat_fwd_ipv6", "cilium-core/bpf_host.o", "tail_handle_snat_fwd_ipv6"},
	{"cilium/nat_egress_ipv4", "cilium-core/bpf_host.o", "tail_nodeport_nat_egress_ipv4"},
	{"cilium/rev_dnat_ipv4", "cilium-core/bpf_host.o", "tail_nodeport_rev_dnat_ipv4"},
	{"cilium/icmp6_handle_ns", "cilium-core/bpf_host.o", "tail_icmp6_handle_ns"},
	{"cilium/from_overlay", "cilium-core/bpf_overlay.o", "cil_from_overlay"},
	{"cilium/overlay_ipv6", "cilium-core/bpf_overlay.o", "tail_handle_ipv6"},
	{"cilium/from_network", "cilium-core/bpf_network.o", "cil_from_network"},
}

// packetSpec reads a program of an object, without the rest of it.
func packetSpec(b *testing.B, object, prog string) *ebpf.CollectionSpec {
	b.Helper()
	path := filepath.Join(testenv.Root(b), object)
	if filepath.Dir(object) == "cilium-core" {
		path = filepath.Join(testenv.Data(b, "ebpf-samples"), object)
	}
	p, err := program.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	spec, err := program.Subset(p.Spec, prog)
	if err != nil {
		b.Fatal(err)
	}
	spec = spec.Copy()
	for _, m := range spec.Maps {
		m.Pinning = ebpf.PinNone
	}
	return spec
}

// settled is after how many runs a program's maps and its packet do not change
// any more.
const settled = 100

// busiest is the packet on which a program executes most instructions, over and
// over again.
func busiest(b *testing.B, spec *ebpf.CollectionSpec, prog string) (packet []byte) {
	b.Helper()
	referee, err := Ours(vm.ProgramOptions{})[0].Load(spec)
	if err != nil {
		b.Fatal(err)
	}
	defer referee.Close()
	most := int64(0)
	for _, p := range capturedPackets(b) {
		r, err := referee.Runner(prog, &Input{Data: p})(settled)
		switch {
		case errors.Is(err, vm.ErrInput):
		case err != nil:
			b.Fatal(err)
		case r.Executed > most:
			packet, most = p, r.Executed
		}
	}
	return packet
}

// capturedPackets are those of the examples.
func capturedPackets(b *testing.B) (packets [][]byte) {
	b.Helper()
	captures, err := filepath.Glob(filepath.Join(testenv.Root(b), "examples", "*", "traffic.pcap"))
	if err != nil || len(captures) == 0 {
		b.Fatal("no captures", err)
	}
	for _, path := range captures {
		r, err := capture.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		for {
			p, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			packets = append(packets, bytes.Clone(p.Data))
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
	}
	return packets
}
