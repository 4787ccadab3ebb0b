package progtype

import (
	"encoding/binary"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/vm/exec"
)

// The types that are attached to a cgroup and judge what its processes do with
// sockets: their creation and binding, their addresses, their options.

// allow names what a program of a cgroup returns: whether the operation may go on.
var allow = map[uint32]string{0: "deny", 1: "allow"}

func init() {
	for _, v := range []struct {
		attach   []ebpf.AttachType
		writable bool
		fields   []Field
	}{
		{[]ebpf.AttachType{ebpf.AttachCGroupInetSockCreate, ebpf.AttachCgroupInetSockRelease}, true, nil},
		{[]ebpf.AttachType{ebpf.AttachCGroupInet4PostBind}, false,
			[]Field{word("src_ip4", 24), word("src_port", 44).head()}},
		{[]ebpf.AttachType{ebpf.AttachCGroupInet6PostBind}, false,
			append(words("src_ip6", 28, 4), word("src_port", 44).head())},
	} {
		register(uapi(&Type{
			Prog: ebpf.CGroupSock, Attach: v.attach, Name: "cgroup/sock",
			CtxName: "struct bpf_sock", CtxSize: 80,
			Fields:   sockFields(v.fields, v.writable),
			Verdicts: allow, Returns: &Range{0, 1},
		}))
	}
}

// sockFields are the fields of struct bpf_sock that a program of a cgroup sees of
// its socket. While a socket is made and released, some belong to it alone.
func sockFields(own []Field, made bool) []Field {
	common := []Field{word("family", 4).head(), word("type", 8).head(), word("protocol", 12).head()}
	if made {
		common = concat([]Field{word("bound_dev_if", 0).whole().writable()}, common,
			[]Field{word("mark", 16).whole().writable(), word("priority", 20).whole().writable()})
	}
	return concat(common, own,
		[]Field{field("dst_port", 48, 2).network(2), word("dst_port", 48).whole(), word("dst_ip4", 52)},
		words("dst_ip6", 56, 4),
		[]Field{word("state", 72).head(), word("rx_queue_mapping", 76).head()})
}

func init() {
	type attach = ebpf.AttachType
	for _, v := range []struct {
		attach  attach
		family  string // "4", "6", or "" for unix
		message bool   // the address to send from, too
		returns Range
	}{
		{ebpf.AttachCGroupInet4Connect, "4", false, Range{0, 1}},
		{ebpf.AttachCGroupInet6Connect, "6", false, Range{0, 1}},
		{ebpf.AttachCgroupUnixConnect, "", false, Range{0, 1}},
		// The upper bit lets a process bind to a privileged port.
		{ebpf.AttachCGroupInet4Bind, "4", false, Range{0, 3}},
		{ebpf.AttachCGroupInet6Bind, "6", false, Range{0, 3}},
		{ebpf.AttachCGroupUDP4Sendmsg, "4", true, Range{0, 1}},
		{ebpf.AttachCGroupUDP6Sendmsg, "6", true, Range{0, 1}},
		{ebpf.AttachCgroupUnixSendmsg, "", false, Range{0, 1}},
		{ebpf.AttachCGroupUDP4Recvmsg, "4", false, Range{1, 1}},
		{ebpf.AttachCGroupUDP6Recvmsg, "6", false, Range{1, 1}},
		{ebpf.AttachCgroupUnixRecvmsg, "", false, Range{1, 1}},
		{ebpf.AttachCgroupInet4GetPeername, "4", false, Range{1, 1}},
		{ebpf.AttachCgroupInet6GetPeername, "6", false, Range{1, 1}},
		{ebpf.AttachCgroupUnixGetpeername, "", false, Range{1, 1}},
		{ebpf.AttachCgroupInet4GetSockname, "4", false, Range{1, 1}},
		{ebpf.AttachCgroupInet6GetSockname, "6", false, Range{1, 1}},
		{ebpf.AttachCgroupUnixGetsockname, "", false, Range{1, 1}},
	} {
		verdicts := allow
		if v.returns.Max == 3 {
			verdicts = map[uint32]string{0: "deny", 1: "allow", 2: "deny", 3: "allow, any port"}
		}
		register(uapi(&Type{
			Prog: ebpf.CGroupSockAddr, Attach: []attach{v.attach}, Name: "cgroup/sock_addr",
			CtxName: "struct bpf_sock_addr", CtxSize: 72,
			Fields:   sockAddrFields(v.family, v.message),
			Verdicts: verdicts, Returns: &v.returns,
		}))
	}
}

func sockAddrFields(family string, message bool) []Field {
	all := []Field{word("user_family", 0).whole()}
	switch family {
	case "4":
		all = append(all, word("user_ip4", 4).writable())
	case "6":
		all = append(all, writable(words("user_ip6", 8, 4))...)
		all = append(all, pair("user_ip6", 8).writable(), pair("user_ip6", 16).writable())
	}
	all = append(all, word("user_port", 24).writable().network(2),
		word("family", 28).whole(), word("type", 32).whole(), word("protocol", 36).whole())
	switch {
	case message && family == "4":
		all = append(all, word("msg_src_ip4", 40).writable())
	case message:
		all = append(all, writable(words("msg_src_ip6", 44, 4))...)
		all = append(all, pair("msg_src_ip6", 48).writable())
	}
	return append(all, socket(64))
}

// SetSunPath is the effect of bpf_sock_addr_set_sun_path, whose text is the path.
const SetSunPath = "sock_addr_set_sun_path"

func writable(fields []Field) []Field {
	for i := range fields {
		fields[i].Write = true
	}
	return fields
}

func init() {
	register(
		sockopt(ebpf.AttachCGroupSetsockopt,
			word("level", 24).whole().writable(), word("optname", 28).whole().writable(), word("optlen", 32).whole().writable()),
		sockopt(ebpf.AttachCGroupGetsockopt,
			word("level", 24).whole(), word("optname", 28).whole(), word("optlen", 32).whole().writable(), word("retval", 36).whole().writable()),
	)
}

// Where struct bpf_sockopt has the value's length and the result of the system call, in
// bytes.
const (
	sockoptLength = 32
	SockoptRetval = 36
)

// sockopt is the type that sees an option of a socket; Input.Data is its value, or the
// room for it.
func sockopt(attach ebpf.AttachType, fields ...Field) *Type {
	t := uapi(&Type{
		Prog: ebpf.CGroupSockopt, Attach: []ebpf.AttachType{attach}, Name: "cgroup/sockopt",
		CtxName: "struct bpf_sockopt", CtxSize: 40,
		Fields:   concat([]Field{socket(0)}, packetPointers("optval", "optval_end", 8, 8), fields),
		Verdicts: allow, Returns: &Range{0, 1},
	})
	t.Setup = func(s *exec.State, in *Input) error { return setupSockopt(t, s, in) }
	t.Finish = func(s *exec.State, out *Output) {
		finishUAPI(t, s, out)
		if n := sockoptLen(s); n >= 0 && n < len(out.Data) {
			out.Data = out.Data[:n]
		}
	}
	return t
}

// sockoptLen is how long the value is that a program leaves.
func sockoptLen(s *exec.State) int {
	return int(int32(binary.NativeEndian.Uint32(Seen(s)[sockoptLength:])))
}

// setupSockopt is what Linux makes of a value: a program sees no more than a page of
// it, and may make one longer that a process sets, up to 16 bytes. A context that does
// not say how long the value is means all of it.
func setupSockopt(t *Type, s *exec.State, in *Input) error {
	const page, least = 4096, 16
	seen := *in
	seen.Data = in.Data[:min(len(in.Data), page)]
	if t.Attach[0] == ebpf.AttachCGroupSetsockopt && len(in.Data) < least {
		seen.Data = append(make([]byte, 0, least), in.Data...)[:least]
	}
	if err := setupUAPI(t, s, &seen); err != nil {
		return err
	}
	if sockoptLen(s) == 0 {
		binary.NativeEndian.PutUint32(Seen(s)[sockoptLength:], uint32(len(in.Data)))
	}
	return nil
}
