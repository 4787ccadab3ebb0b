package helper

import (
	"encoding/binary"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// calls calls kernel functions on one state.
type calls struct {
	t *testing.T
	s *exec.State
}

// wants calls a kernel function and wants an error number, or 0.
func (c *calls) wants(want errno.Errno, name string, args ...uint64) {
	c.t.Helper()
	var r [5]uint64
	copy(r[:], args)
	if got := -int32(Kfunc(name).Func(c.s, r[0], r[1], r[2], r[3], r[4])); got != int32(want) {
		c.t.Errorf("%s: %v, want %v", name, errno.Errno(got), want)
	}
}

// lent is memory that programs may be shown, with these bytes.
func (c *calls) lent(b ...byte) []byte {
	c.t.Helper()
	m, _ := c.s.Lend(len(b))
	copy(m, b)
	return m
}

// TestTunnelMetadata: a packet has a tunnel key, whose ports FOU may set, or an IPsec
// interface.
func TestTunnelMetadata(t *testing.T) {
	s := around(t, ebpf.SchedCLS, nil, "processes: [{pid: 1}]")
	c := &calls{t, s}
	ports, back := c.lent(1, 2, 3, 4), c.lent(9, 9, 9, 9)
	xfrm, xfrmBack := c.lent(7, 0, 0, 0, 3, 0, 0, 0), c.lent(0, 0, 0, 0, 0, 0, 0, 0)
	key := c.lent(make([]byte, tunnelSize)...)
	c.wants(errno.EINVAL, "bpf_skb_set_fou_encap", 0, addressOf(ports), 0)
	c.wants(errno.EINVAL, "bpf_skb_get_fou_encap", 0, addressOf(back))
	c.wants(errno.EINVAL, "bpf_skb_get_xfrm_info", 0, addressOf(xfrmBack))
	c.wants(0, "bpf_skb_set_xfrm_info", 0, addressOf(xfrm))
	c.wants(errno.EINVAL, "bpf_skb_set_xfrm_info", 0, addressOf(xfrm))
	c.wants(0, "bpf_skb_get_xfrm_info", 0, addressOf(xfrmBack))
	if string(xfrmBack) != string(xfrm) {
		t.Errorf("xfrm info is % x", xfrmBack)
	}
	if ret := setTunnelKey(s, 0, addressOf(key), tunnelSize, 0, 0); ret != 0 {
		t.Fatal(int64(ret))
	}
	c.wants(errno.EINVAL, "bpf_skb_get_xfrm_info", 0, addressOf(xfrmBack))
	c.wants(errno.EINVAL, "bpf_skb_set_xfrm_info", 0, addressOf(xfrm))
	c.wants(0, "bpf_skb_set_fou_encap", 0, addressOf(ports), 1)
	c.wants(0, "bpf_skb_get_fou_encap", 0, addressOf(back))
	if string(back) != string(ports) {
		t.Errorf("ports are % x", back)
	}
	setTunnelKey(s, 0, addressOf(key), tunnelSize, 0, 0)
	c.wants(0, "bpf_skb_get_fou_encap", 0, addressOf(back))
	if string(back) != "\x00\x00\x00\x00" {
		t.Errorf("a new key has the ports % x", back)
	}
}

// TestSocketKfuncs: kernel functions that change sockets check what Linux checks, and
// note what they would do.
func TestSocketKfuncs(t *testing.T) {
	const sockets = `
sockets:
  - {name: listener, proto: tcp, local: "10.0.0.1:80", state: listen, cookie: 5}
  - {name: closed, proto: tcp, local: "10.0.0.1:81", state: close, cookie: 6}
  - {name: dgram, proto: udp, local: "10.0.0.1:53", cookie: 7}
`
	s := around(t, ebpf.SchedCLS, nil, sockets)
	c := &calls{t, s}
	sock := func(n uint32) uint64 { return s.Env.Sockets.Socket(n).SockAddr() }
	c.wants(errno.EOPNOTSUPP, "bpf_sock_destroy", 4096)
	c.wants(errno.ENOENT, "bpf_sock_destroy", sock(2))
	c.wants(0, "bpf_sock_destroy", sock(3))

	attrs := c.lent(make([]byte, 20)...)
	binary.LittleEndian.PutUint16(attrs[8:], 1460)
	assign := func(want errno.Errno, k uint64, size int) {
		t.Helper()
		c.wants(want, "bpf_sk_assign_tcp_reqsk", 0, k, addressOf(attrs), uint64(size))
	}
	skb := progtype.SKB(s)
	skb.Protocol = progtype.ProtoIP
	assign(errno.EINVAL, sock(1), 20) // not at tc ingress
	skb.AtIngress = 1
	assign(errno.EINVAL, sock(1), 19)
	assign(errno.EINVAL, sock(2), 20)
	assign(0, sock(1), 20)
	if skb.Socket != sock(1) {
		t.Error("the packet has another socket")
	}
	attrs[19] = 1
	assign(errno.EINVAL, sock(1), 20)
	attrs[19], attrs[9] = 0, 0
	assign(errno.EINVAL, sock(1), 20) // too small a maximum segment
	want := []string{"sock_destroy(7)", "sk_assign_tcp_reqsk(5, 1460)"}
	for i, e := range s.Effects {
		if i >= len(want) || e.String() != want[i] {
			t.Errorf("effect %d is %s", i, e)
		}
	}
}

// TestCastContextKfuncs: kernel functions that take the kernel's own form of the context.
func TestCastContextKfuncs(t *testing.T) {
	ops := make([]byte, 224)
	s := around(t, ebpf.SockOps, ops, "processes: [{pid: 1}]")
	c := &calls{t, s}
	c.wants(errno.EOPNOTSUPP, "bpf_sock_ops_enable_tx_tstamp", 0, 0)
	progtype.Seen(s)[0] = 20
	c.wants(errno.EINVAL, "bpf_sock_ops_enable_tx_tstamp", 0, 1)
	c.wants(0, "bpf_sock_ops_enable_tx_tstamp", 0, 0)

	addr := make([]byte, 72)
	addr[0], addr[28] = progtype.AFUnix, progtype.AFUnix
	s = around(t, ebpf.CGroupSockAddr, addr, "processes: [{pid: 1}]")
	c = &calls{t, s}
	s.Effects = nil
	path := c.lent([]byte("\x00abstract")...)
	c.wants(errno.EINVAL, "bpf_sock_addr_set_sun_path", 0, addressOf(path), 0)
	c.wants(errno.EINVAL, "bpf_sock_addr_set_sun_path", 0, addressOf(path), 109)
	c.wants(0, "bpf_sock_addr_set_sun_path", 0, addressOf(path), uint64(len(path)))
	if len(s.Effects) != 1 || s.Effects[0].Text != "\x00abstract" {
		t.Errorf("effects are %v", s.Effects)
	}
}
