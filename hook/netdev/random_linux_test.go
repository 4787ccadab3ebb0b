package netdev

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/testenv"
)

var (
	networks = flag.Int("networks", 2, "random networks to hold against Linux")
	seed     = flag.Uint64("seed", 0, "seed of the first network; 0: SKEP_SEED, or chance")
)

// The random networks' interfaces. Packets are sent to higher indexes only, so
// that there is no circle, which Linux would run in forever; left and right are a
// veth pair, and left has no programs for what it receives.
var randomNet = []InterfaceConfig{
	{Name: "eth0", Index: eth0, MAC: "02:00:00:00:00:02"},
	{Name: "a", Index: 11}, {Name: "b", Index: 12},
	{Name: "left", Index: 13, Peer: "right"}, {Name: "right", Index: 20},
	{Name: "c", Index: 21}, {Name: "d", Index: 22},
}

const ports = 24 // that programs tell apart

// above draws an interface with a higher index.
func above(r *rand.Rand, index uint32) int32 {
	var higher []int32
	for _, i := range randomNet {
		if i.Index > index {
			higher = append(higher, int32(i.Index))
		}
	}
	return higher[r.IntN(len(higher))]
}

// randomTC does something random for each port.
func randomTC(r *rand.Rand, index uint32) asm.Instructions {
	begin := append(tcPort(),
		asm.LoadMem(asm.R8, asm.R6, fieldMark, asm.Word), asm.JNE.Imm(asm.R8, r.Int32N(4)+1, "unmarked"))
	begin = append(begin, helper(asm.FnRedirect, above(r, index), 0)...)
	begin = append(begin, asm.Ja.Label("exit"), asm.Mov.Imm(asm.R8, 0).WithSymbol("unmarked"))
	var cases []onPort
	for port := int32(1); port < ports; port++ {
		to := above(r, index)
		var do asm.Instructions
		switch r.IntN(12) {
		case 0, 1, 2:
			do = helper(asm.FnRedirect, to, 0)
		case 3:
			do = helper(asm.FnRedirect, to, 1)
		case 4:
			do = append(withCtx(asm.FnCloneRedirect, to, r.Int32N(2)), ret(-1)...)
		case 5:
			do = append(set(fieldMark, r.Int32N(4)+1), ret(-1)...)
		case 6:
			do = append(withCtx(asm.FnSkbChangeTail, 90+r.Int32N(200), 0), ret(-1)...)
		case 7:
			do = append(withCtx(asm.FnSkbChangeTail, 120, 0), helper(asm.FnRedirect, to, 0)...)
		case 8:
			do = ret([]int32{0, 2, 3, 4, 5, 7, 9}[r.IntN(7)])
		default:
			do = ret(-1)
		}
		cases = append(cases, onPort{port, do})
	}
	return switchPort(begin, cases, -1)
}

func randomXDP(r *rand.Rand, index uint32, otherwise int32) asm.Instructions {
	var cases []onPort
	for port := int32(1); port < ports; port++ {
		var do asm.Instructions
		switch r.IntN(8) {
		case 0:
			do = helper(asm.FnRedirect, above(r, index), 0)
		case 1:
			do = redirectMap("devs", r.Int32N(4), r.Int32N(3))
		case 2:
			do = redirectMap("devs", 0, broadcast|excludeIngress*r.Int32N(2))
		case 3:
			do = redirectMap("cpus", 0, 0)
		case 4:
			do = ret([]int32{0, 1, 3, 4, 7}[r.IntN(5)])
		default:
			do = ret(xdpPass)
		}
		cases = append(cases, onPort{port, do})
	}
	return switchPort(xdpPort(), cases, otherwise)
}

// randomLeaving is for devmaps: it passes, drops, or changes the addresses.
func randomLeaving(r *rand.Rand) asm.Instructions {
	var cases []onPort
	for port := int32(1); port < ports; port++ {
		do := ret(xdpPass)
		if n := r.IntN(4); n == 0 {
			do = ret(r.Int32N(6))
		} else if n == 1 { // R2 is the packet, and the port was read behind this
			do = asm.Instructions{asm.StoreImm(asm.R2, 11, int64(port), asm.Byte), asm.Mov.Imm(asm.R0, xdpPass)}
		}
		cases = append(cases, onPort{port, do})
	}
	return switchPort(xdpPort(), cases, xdpPass)
}

func randomNetwork(r *rand.Rand) (*Config, *ebpf.CollectionSpec) {
	key := func(n uint32) *uint32 { return &n }
	cfg := &Config{Input: "eth0", Interfaces: randomNet, Maps: map[string][]EntryConfig{
		// Redirects by the map go upwards, too: only eth0 and right have XDP programs.
		"devs": {{Key: key(0), If: "c", Prog: "leaving"}, {Key: key(1), If: "d"}, {Key: key(3), If: "b"}},
		"cpus": {{CPU: key(0), Prog: "on_cpu"}},
	}}
	progs := []*ebpf.ProgramSpec{
		prog("leaving", ebpf.XDP, ebpf.AttachXDPDevMap, randomLeaving(r)...),
		prog("on_cpu", ebpf.XDP, ebpf.AttachXDPCPUMap, switchPort(xdpPort(), []onPort{
			{r.Int32N(ports), ret(1)}, {r.Int32N(ports), redirectMap("devs", 1, 0)},
		}, xdpPass)...),
	}
	attach := func(i InterfaceConfig, hook Hook, insns asm.Instructions) {
		name := fmt.Sprintf("%s_%d", i.Name, len(progs))
		typ := ebpf.SchedCLS
		if hook == XDP {
			typ = ebpf.XDP
		}
		progs = append(progs, prog(name, typ, 0, insns...))
		cfg.Attach = append(cfg.Attach, AttachConfig{i.Name, hook, name})
	}
	for _, i := range randomNet[:len(randomNet)-1] { // nothing is above the last
		if i.Name == "eth0" || i.Name == "right" {
			attach(i, XDP, randomXDP(r, i.Index, xdpPass))
		}
		if i.Name != "left" {
			attach(i, TCXIngress, randomTC(r, i.Index))
			attach(i, TCXIngress, randomTC(r, i.Index))
		}
		attach(i, TCXEgress, randomTC(r, i.Index))
	}
	return cfg, specOf(progs...)
}

// TestRandomNetworksLikeTheKernel sends packets through networks of random
// programs.
func TestRandomNetworksLikeTheKernel(t *testing.T) {
	first := *seed
	if first == 0 {
		first = testenv.Seed(t) >> 32
	}
	for n := range *networks {
		s := first + uint64(n)
		t.Run(fmt.Sprintf("seed %d", s), func(t *testing.T) {
			r := rand.New(rand.NewPCG(s, 0))
			cfg, spec := randomNetwork(r)
			k := newKernelNet(t, cfg, spec)
			for port := range uint16(ports) {
				frames := [][]byte{udp(port, false, 10), udp(port, true, 40)}
				got, b := virtual(t, cfg, spec, frames)
				for _, i := range b.net.Interfaces() {
					if i.Loop > 0 {
						t.Fatalf("port %d: a circle", port)
					}
				}
				sent := k.run(t, frames, got)
				// What left transmits is seen behind the program of right, and not all.
				delete(got, "left")
				delete(sent, "left")
				if diff := gocmp.Diff(sorted(sent), sorted(got)); diff != "" {
					t.Errorf("port %d (-Linux +here):\n%.2000s\nhere\n%s", port, diff, b.steps.String())
				}
			}
		})
	}
}

// sorted orders the frames of each interface: copies of one packet may overtake
// one another in Linux.
func sorted(frames map[string][][]byte) map[string][]string {
	out := map[string][]string{}
	for name, all := range frames {
		for _, f := range all {
			out[name] = append(out[name], fmt.Sprintf("%x", f))
		}
		slices.Sort(out[name])
	}
	return out
}
