package kernctx_test

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/kernctx"
	"github.com/skep-ebpf/skep/vm/memory"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// run is one run whose structures a test reads.
type run struct {
	t     *testing.T
	types *btf.Spec
	state *exec.State
	addr  uint64
}

// begin sets a run up on a context whose bytes at some offsets are given.
func begin(t *testing.T, types *btf.Spec, typ *progtype.Type, ctx map[int]byte, data []byte) *run {
	t.Helper()
	s, err := exec.NewState(0)
	if err != nil {
		t.Fatal(err)
	}
	s.Env.Sysctl = &exec.Sysctl{Name: "net/ipv4/ip_forward", Value: "0", New: "22"}
	in := progtype.Input{Ctx: make([]byte, typ.CtxSize), Data: data}
	for at, b := range ctx {
		in.Ctx[at] = b
	}
	if err := typ.Setup(s, &in); err != nil {
		t.Fatal(err)
	}
	layout, err := kernctx.New(typ, types)
	if err != nil {
		t.Fatal(err)
	}
	addr, err := layout.Show(s)
	if err != nil {
		t.Fatal(err)
	}
	return &run{t, types, s, addr}
}

// field reads a field by its path, where "->" follows a pointer to a structure that is
// named behind it: "sk->sock.sk_type".
func (r *run) field(typ, path string) uint64 {
	r.t.Helper()
	addr := r.addr
	for {
		name, rest, follows := strings.Cut(path, "->")
		var f memory.Field
		if typ != "char" {
			var err error
			if f, err = memory.FieldOf(r.types, typ, name); err != nil {
				r.t.Skip(err) // of another Linux
			}
		} else {
			f = memory.Field{Size: 8}
		}
		b := r.state.Structure(uintptr(addr)+uintptr(f.Offset), uintptr(f.Size))
		if b == nil {
			r.t.Fatalf("there is no struct %s at %#x", typ, addr)
		}
		v := memory.Field{Size: f.Size, Bit: f.Bit, Bits: f.Bits}.Get(b)
		if !follows {
			return v
		}
		addr = v
		typ, path, _ = strings.Cut(rest, ".")
	}
}

// TestFields: what a context says stands in the kernel's structure behind it.
func TestFields(t *testing.T) {
	types, err := btf.LoadKernelSpec()
	if err != nil {
		t.Skip(err)
	}
	text := func(s string) uint64 {
		var b [8]byte
		copy(b[:], s)
		return binary.LittleEndian.Uint64(b[:])
	}
	for _, c := range []struct {
		prog   ebpf.ProgramType
		attach ebpf.AttachType
		typ    string
		ctx    map[int]byte
		data   string
		want   map[string]uint64
	}{
		{ebpf.CGroupSockAddr, ebpf.AttachCGroupInet4Connect, "bpf_sock_addr_kern",
			map[int]byte{0: 2, 4: 10, 7: 1, 24: 1, 25: 187, 28: 2, 32: 1, 36: 6}, "", map[string]uint64{
				"uaddr->sockaddr_in.sin_family": 2, "uaddr->sockaddr_in.sin_addr.s_addr": 1<<24 | 10, "uaddr->sockaddr_in.sin_port": 187<<8 | 1,
				"uaddrlen": 16, "sk->sock.sk_type": 1, "sk->sock.sk_protocol": 6, "sk->sock.__sk_common.skc_family": 2,
			}},
		{ebpf.CGroupSockAddr, ebpf.AttachCGroupInet6Connect, "bpf_sock_addr_kern", map[int]byte{0: 10, 23: 1, 28: 10}, "", map[string]uint64{
			"uaddr->sockaddr_in6.sin6_family": 10, "uaddr->sockaddr_in6.sin6_addr.in6_u.u6_addr32": 0, "uaddrlen": 28,
		}},
		{ebpf.CGroupSockopt, ebpf.AttachCGroupSetsockopt, "bpf_sockopt_kern", map[int]byte{24: 1, 28: 7, 32: 4}, "abcd", map[string]uint64{
			"level": 1, "optname": 7, "optlen": 4,
		}},
		{ebpf.CGroupSysctl, ebpf.AttachCGroupSysctl, "bpf_sysctl_kern", map[int]byte{0: 1, 4: 3}, "", map[string]uint64{
			"write": 1, "cur_len": 1, "new_len": 2, "new_val->char.": text("22"), "ppos->char.": 3, "table->ctl_table.procname->char.": text("ip_forwa"),
		}},
		{ebpf.SockOps, 0, "bpf_sock_ops_kern", map[int]byte{0: 3, 8: 9, 20: 2, 72: 1}, "", map[string]uint64{
			"op": 3, "is_fullsock": 1, "sk->sock.__sk_common.skc_family": 2, "skb": 0, "args": 9 << 32,
		}},
		{ebpf.SkMsg, 0, "sk_msg", map[int]byte{16: 2}, "hello", map[string]uint64{"sg.size": 5, "sk->sock.__sk_common.skc_family": 2}},
		{ebpf.SkReuseport, 0, "sk_reuseport_kern", map[int]byte{28: 1, 32: 77}, "hello", map[string]uint64{
			"hash": 77, "bind_inany": 1, "skb->sk_buff.len": 5, "migrating_sk": 0,
		}},
		{ebpf.CGroupSock, ebpf.AttachCGroupInetSockCreate, "sock", map[int]byte{0: 4, 4: 2, 8: 1, 12: 6, 16: 5}, "", map[string]uint64{
			"__sk_common.skc_bound_dev_if": 4, "__sk_common.skc_family": 2, "sk_type": 1, "sk_protocol": 6, "sk_mark": 5,
		}},
		{ebpf.CGroupDevice, ebpf.AttachCGroupDevice, "bpf_cgroup_dev_ctx", map[int]byte{0: 2, 4: 8, 8: 9}, "", map[string]uint64{
			"access_type": 2, "major": 8, "minor": 9,
		}},
		{ebpf.PerfEvent, 0, "bpf_perf_event_data_kern", map[int]byte{progtype.HostRegisters().Size: 100, progtype.HostRegisters().Size + 8: 5}, "", map[string]uint64{
			"data->perf_sample_data.period": 100, "data->perf_sample_data.addr": 5,
		}},
	} {
		t.Run(c.typ, func(t *testing.T) {
			typ, err := progtype.ForAttach(c.prog, c.attach)
			if err != nil {
				t.Fatal(err)
			}
			r := begin(t, types, typ, c.ctx, []byte(c.data))
			for path, want := range c.want {
				if got := r.field(c.typ, path); got != want {
					t.Errorf("%s is %#x, want %#x", path, got, want)
				}
			}
		})
	}
}

// TestHidden: another context hides the structures of the one before.
func TestHidden(t *testing.T) {
	types, err := btf.LoadKernelSpec()
	if err != nil {
		t.Skip(err)
	}
	typ, err := progtype.Get(ebpf.XDP)
	if err != nil {
		t.Fatal(err)
	}
	frame := make([]byte, 64)
	r := begin(t, types, typ, map[int]byte{4: 64}, frame)
	if r.state.Structure(uintptr(r.addr), 8) == nil {
		t.Error("the structure is not visible")
	}
	if err := typ.Setup(r.state, &progtype.Input{Data: frame}); err != nil {
		t.Fatal(err)
	}
	if r.state.Structure(uintptr(r.addr), 8) != nil {
		t.Error("a program that did not ask finds the structure")
	}
	if _, err := kernctx.New(typ, nil); err == nil || !strings.Contains(err.Error(), "--btf") {
		t.Errorf("without types: %v", err)
	}
}
