package vm_test

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/vm/memory"
)

// step is a struct step of testdata/kfunc/kernctx.bpf.c.
type step struct{ From, Off, Size, Plus uint32 }

// way is a structure and how to get there: by a pointer in one before.
type way struct {
	typ  string
	from int
	path string
	plus string
	// own are fields that are by their nature each machine's own.
	own []string
	// only are the fields that are compared; none: all.
	only []string
}

var (
	skbWays = []way{
		// Where the buffer ends is the allocator's to say, and extensions are there where
		// active_extensions says so.
		{typ: "sk_buff", own: []string{"end", "truesize", "alloc_cpu", "dev_scratch", "extensions"}},
		{typ: "net_device", path: "dev", only: []string{"ifindex", "name", "mtu", "type", "addr_len", "hard_header_len", "dev_addr", "dev_addr_shadow", "nd_net.net"}},
		{typ: "sock", path: "sk", only: []string{"__sk_common.skc_family", "__sk_common.skc_daddr", "__sk_common.skc_rcv_saddr",
			"__sk_common.skc_v6_daddr", "__sk_common.skc_v6_rcv_saddr", "__sk_common.skc_num", "__sk_common.skc_dport", "sk_protocol", "sk_type",
			"sk_mark", "sk_priority", "__sk_common.skc_state", "__sk_common.skc_bound_dev_if"}},
		{typ: "skb_shared_info", path: "head", plus: "end", own: []string{"frags"}},
	}
	xdpWays = []way{
		{typ: "xdp_buff"},
		{typ: "xdp_rxq_info", path: "rxq", own: []string{"mem", "napi_id"}},
		{typ: "net_device", from: 1, path: "dev", only: []string{"ifindex", "name", "mtu", "type", "flags"}},
		{typ: "skb_shared_info", path: "data_hard_start", own: []string{
			"flags", "meta_len", "tx_flags", "gso_size", "gso_segs", "frag_list", "hwtstamps", "xsk_meta", "gso_type", "tskey", "dataref", "frags",
		}}, // all but what XDP uses is left from before
	}
)

var lookupWays = []way{
	{typ: "bpf_sk_lookup_kern"},
	{typ: "in6_addr", path: "v6.saddr"},
	{typ: "in6_addr", path: "v6.daddr"},
}

// steps are the ways as the programs are told of them.
func steps(t *testing.T, types *btf.Spec, ways []way) (all [4]step) {
	t.Helper()
	find := func(typ, path string) uint32 {
		if path == "" {
			var s *btf.Struct
			if err := types.TypeByName(typ, &s); err != nil {
				t.Fatal(err)
			}
			return s.Size
		}
		f, err := memory.FieldOf(types, typ, path)
		if err != nil {
			t.Fatal(err)
		}
		return f.Offset
	}
	for i, w := range ways {
		all[i] = step{From: uint32(w.from), Size: find(w.typ, "")}
		if w.path != "" {
			all[i].Off = find(ways[w.from].typ, w.path)
		}
		if w.plus != "" {
			all[i].Plus = find(ways[w.from].typ, w.plus)
		}
	}
	return all
}

// leaves adds what a structure holds by the paths of its fields: numbers, and of pointers
// whether they are NULL.
func leaves(to map[string]any, b []byte, typ btf.Type, path string) {
	put := func(v any) { to[strings.TrimPrefix(path, ".")] = v }
	switch t := btf.UnderlyingType(typ).(type) {
	case *btf.Struct:
		members(to, b, t.Members, path)
	case *btf.Union:
		members(to, b, t.Members, path)
	case *btf.Pointer:
		put(binary.LittleEndian.Uint64(b) != 0)
	case *btf.Array:
		size, _ := btf.Sizeof(t)
		put(fmt.Sprintf("%x", b[:size]))
	default:
		size, err := btf.Sizeof(t)
		if err != nil || size > 8 {
			return
		}
		var word [8]byte
		copy(word[:], b[:size])
		put(binary.LittleEndian.Uint64(word[:]))
	}
}

func members(to map[string]any, b []byte, all []btf.Member, path string) {
	for _, m := range all {
		in := path
		if m.Name != "" {
			in += "." + m.Name
		}
		if m.BitfieldSize > 0 {
			var word [8]byte
			copy(word[:], b[m.Offset/8:])
			to[strings.TrimPrefix(in, ".")] = binary.LittleEndian.Uint64(word[:]) >> (m.Offset % 8) & (1<<m.BitfieldSize - 1)
			continue
		}
		leaves(to, b[m.Offset.Bytes():], m.Type, in)
	}
}

// seen is what of a copy is compared.
func (w *way) seen(t *testing.T, types *btf.Spec, b []byte) map[string]any {
	var s *btf.Struct
	if err := types.TypeByName(w.typ, &s); err != nil {
		t.Fatal(err)
	}
	all := map[string]any{}
	leaves(all, b, s, "")
	maps.DeleteFunc(all, func(path string, _ any) bool {
		within := func(of string) bool { return path == of || strings.HasPrefix(path, of+".") }
		return strings.HasPrefix(path, "headers") || slices.ContainsFunc(w.own, within) || len(w.only) > 0 && !slices.ContainsFunc(w.only, within)
	})
	if w.typ == "sk_buff" { // whose control block has two addresses of the packet in it
		cb := all["cb"].(string)
		all["cb"] = cb[:2*32]
	}
	return all
}

// ipPacket is an Ethernet frame with an IPv4 or IPv6 packet, or of another protocol.
func ipPacket(rnd *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	b[0] &^= 1
	proto := [][2]byte{{8, 0}, {0x86, 0xdd}, {8, 6}, {0x81, 0}}[rnd.IntN(4)]
	copy(b[12:], proto[:])
	b[14], b[20], b[21], b[23] = 0x45, 0, 0, 17
	if proto[0] == 0x86 {
		b[14], b[20] = 0x60, 17
	}
	return b
}

// TestKernelContext compares the structures behind a context with the kernel's, field by
// field.
func TestKernelContext(t *testing.T) {
	testenv.Kernel(t)
	types, err := btf.LoadKernelSpec()
	if err != nil {
		t.Skip(err)
	}
	skbContext := func(rnd *rand.Rand, in []byte) []byte {
		ctx := make([]byte, 192)
		for _, off := range []int{8, 32, 48, 52, 64, 152} { // mark, priority, cb, tstamp
			binary.LittleEndian.PutUint32(ctx[off:], rnd.Uint32())
		}
		ctx[40] = 1                                                           // ifindex
		binary.LittleEndian.PutUint32(ctx[160:], uint32(len(in)+rnd.IntN(9))) // wire_len
		binary.LittleEndian.PutUint32(ctx[164:], uint32(rnd.IntN(9)))         // gso_segs
		binary.LittleEndian.PutUint32(ctx[176:], uint32(rnd.IntN(2000)))      // gso_size
		binary.LittleEndian.PutUint64(ctx[184:], rnd.Uint64())                // hwtstamp
		return ctx
	}
	lookupContext := func(rnd *rand.Rand, _ []byte) []byte {
		ctx := make([]byte, 72)
		for i := 16; i < 60; i++ { // addresses and ports
			ctx[i] = byte(rnd.Uint32())
		}
		ctx[8], ctx[12] = []byte{2, 10}[rnd.IntN(2)], []byte{6, 17}[rnd.IntN(2)]
		clear(ctx[38:40])
		binary.LittleEndian.PutUint16(ctx[60:], uint16(rnd.Uint32()))
		return ctx
	}
	for _, c := range []struct {
		prog string
		ways []way
		ctx  func(*rand.Rand, []byte) []byte
		size int
	}{
		{"skb_whole", skbWays, skbContext, 60},
		{"cgroup_whole", skbWays, skbContext, 60},
		{"filter_whole", skbWays, skbContext, 60},
		{"xdp_whole", xdpWays, nil, 64},
		{"xdp_frags_whole", xdpWays, nil, 9000},
		{"lookup_whole", lookupWays, lookupContext, 0},
		{"flow_whole", []way{{typ: "bpf_flow_dissector", own: []string{"skb"}}}, nil, 64}, // a test run has none
	} {
		t.Run(c.prog, func(t *testing.T) {
			runners := kfuncRunners(t, "kernctx", c.prog)
			told := steps(t, types, c.ways)
			if c.ways[0].typ == "xdp_buff" { // there is no field that says where its shared info is
				told[3].Plus = 0
			}
			rnd := rand.New(rand.NewPCG(3, 5))
			for i := range 40 {
				var in []byte
				if c.size > 0 {
					in = ipPacket(rnd, c.size+rnd.IntN(100))
				}
				opts := ebpf.RunOptions{Data: in}
				if c.ctx != nil && (i%2 == 1 || in == nil) {
					opts.Context = c.ctx(rnd, in)
				}
				var want []map[string]any
				hash := [8]uint64{uint64(i % 3), rnd.Uint64()}
				for _, r := range runners {
					if err := r.vars("steps").Set(told); err != nil {
						t.Fatal(err)
					}
					if err := r.vars("in").Set(hash); err != nil {
						t.Fatal(err)
					}
					if _, err := r.run(&opts); err != nil {
						t.Fatalf("%s: %v", r.name, err)
					}
					var copies [4][4096]byte
					var out [64]int64
					if err := r.vars("copies").Get(&copies); err != nil {
						t.Fatal(err)
					}
					if err := r.vars("out").Get(&out); err != nil {
						t.Fatal(err)
					}
					var got []map[string]any
					for n, w := range c.ways {
						if out[n] != 0 && w.typ != "in6_addr" { // there are none of IPv4
							t.Fatalf("%s: copy of struct %s: %d", r.name, w.typ, out[n])
						}
						if out[n] != 0 {
							clear(copies[n][:])
						}
						seen := w.seen(t, types, copies[n][:])
						if hash[0] == 1 && w.typ == "sk_buff" { // by a secret of the kernel's
							seen["hash"] = seen["hash"] != uint64(0)
						}
						got = append(got, seen)
					}
					if want == nil {
						want = got
					}
					for n, w := range c.ways {
						if diff := cmp.Diff(want[n], got[n]); diff != "" {
							t.Errorf("run %d, struct %s: kernel - / %s +\n%s", i, w.typ, r.name, diff)
						}
					}
				}
				if t.Failed() {
					return
				}
			}
		})
	}
}

// TestKernelContextChanges: what helpers do to the packet is seen through a structure
// that a program had before.
func TestKernelContextChanges(t *testing.T) {
	t.Run("skb", func(t *testing.T) {
		compareKfuncs(t, "kernctx", "skb_changes", 200, func(rnd *rand.Rand) (in kfuncInput) {
			in.Data = ipPacket(rnd, 60+rnd.IntN(100))
			in.In = [8]uint64{rnd.Uint64(), rnd.Uint64(), rnd.Uint64(), rnd.Uint64() & 0xffff, uint64(40 + rnd.IntN(200)), uint64(rnd.IntN(80))}
			return in
		})
	})
	for _, prog := range []string{"xdp_changes", "xdp_frags_changes"} {
		t.Run(prog, func(t *testing.T) {
			compareKfuncs(t, "kernctx", prog, 30, func(rnd *rand.Rand) (in kfuncInput) {
				in.Data = ipPacket(rnd, 64+rnd.IntN(100))
				if prog == "xdp_frags_changes" {
					in.Data = ipPacket(rnd, 5000+rnd.IntN(4000))
				}
				by := func() uint64 { return uint64(rnd.IntN(80)-40) &^ 3 }
				in.In = [8]uint64{by(), by(), by()}
				return in
			})
		})
	}
}

// TestPullData: what bpf_xdp_pull_data brings into direct reach, and what the fragments
// behind are then good for.
func TestPullData(t *testing.T) {
	compareKfuncs(t, "kernctx", "xdp_pull", 60, func(rnd *rand.Rand) (in kfuncInput) {
		in.Data = ipPacket(rnd, []int{64, 3000, 3520, 3521, 5000, 9000, 12000}[rnd.IntN(7)]+rnd.IntN(60))
		want := func() uint64 { return pick(rnd, 0, 14, 3520, 3521, 3600, 3700, 3736, 3737, uint64(len(in.Data))) }
		by := func() uint64 { return pick(rnd, 0, 40, 100, 4096, 1<<64-100, 1<<64-1000, 1<<64-4000) & (1<<64 - 1) }
		in.In = [8]uint64{pick(rnd, 0, 1<<64-4, 1<<64-32), want(), by(), want(), by()}
		return in
	})
}
