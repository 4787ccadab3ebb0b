package kernctx

import (
	"encoding/binary"
	"path"
	"slices"

	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// The structures behind the contexts of hooks that see no packet of the stack: mostly the
// fields that programs see of the context, under the names that the kernel has for them.

// named are fields of the context under the kernel's names.
func named(t *progtype.Type, names map[string]string) map[string]number {
	all := make(map[string]number)
	for kernel, seen := range names {
		all[kernel] = field(t, seen)
	}
	return all
}

func data(v *view) uint64    { return uint64(v.Packet.Data) }
func dataEnd(v *view) uint64 { return uint64(v.Packet.DataEnd) }

// sockAddrParts are those behind a struct bpf_sock_addr: the address is a struct
// sockaddr of its family's.
func sockAddrParts(t *progtype.Type) []part {
	sk, family := field(t, "sk"), field(t, "user_family")
	own := part{name: "addr", typ: "bpf_sock_addr_kern", fields: map[string]number{
		"sk": sock("sk", sk),
		"uaddr": func(v *view) uint64 {
			switch family(v) {
			case progtype.AFInet6:
				return v.address("uaddr6")
			case progtype.AFUnix:
				return v.address("path")
			}
			return v.address("uaddr")
		},
		"uaddrlen": func(v *view) uint64 {
			switch family(v) {
			case progtype.AFInet6:
				return 28 // struct sockaddr_in6
			case progtype.AFUnix:
				return uint64(2 + len(sunPath(v)))
			}
			return 16 // struct sockaddr_in
		},
	}}
	return []part{
		own,
		{name: "uaddr", typ: "sockaddr_in", fields: named(t, map[string]string{
			"sin_family": "user_family", "sin_port": "user_port", "sin_addr.s_addr": "user_ip4",
		})},
		{name: "uaddr6", typ: "sockaddr_in6", fields: named(t, map[string]string{
			"sin6_family": "user_family", "sin6_port": "user_port",
		}), texts: map[string]text{"sin6_addr": words(t, "user_ip6")}},
		{
			name: "path", typ: "sockaddr_un",
			fields: named(t, map[string]string{"sun_family": "user_family"}), texts: map[string]text{"sun_path": sunPath},
		},
		sockPart("sk", sk), network(),
	}
}

// sunPath is the path that the program gave a Unix socket's address.
func sunPath(v *view) []byte {
	for _, e := range slices.Backward(v.Effects) {
		if e.What == progtype.SetSunPath {
			return []byte(e.Text)
		}
	}
	return nil
}

func sockoptParts(t *progtype.Type) []part {
	sk := field(t, "sk")
	own := part{name: "opt", typ: "bpf_sockopt_kern", fields: named(t, map[string]string{
		"level": "level", "optname": "optname", "optlen": "optlen",
	})}
	own.fields["sk"], own.fields["optval"], own.fields["optval_end"] = sock("sk", sk), data, dataEnd
	return []part{own, sockPart("sk", sk), network()}
}

// sysctlParts are those behind a struct bpf_sysctl. The name and the values are the
// environment's.
func sysctlParts(t *progtype.Type) []part {
	of := func(f func(c *exec.Sysctl) string) func(*view) string {
		return func(v *view) string {
			if v.Env.Sysctl == nil {
				return ""
			}
			return f(v.Env.Sysctl)
		}
	}
	name := of(func(c *exec.Sysctl) string { return path.Base(c.Name) })
	current := of(func(c *exec.Sysctl) string { return c.Value })
	next := of(func(c *exec.Sysctl) string { return c.New })
	length := func(value func(*view) string) number {
		return func(v *view) uint64 { return uint64(len(value(v))) }
	}
	pos := field(t, "file_pos")
	own := part{name: "sysctl", typ: "bpf_sysctl_kern", fields: map[string]number{
		"write": field(t, "write"), "ppos": to("pos"), "table": to("table"),
		"cur_val": to("current"), "cur_len": length(current), "new_val": to("next"), "new_len": length(next),
	}}
	return []part{
		own,
		{name: "table", typ: "ctl_table", fields: map[string]number{"procname": to("name")}},
		{name: "pos", size: 8, whole: func(v *view) []byte {
			return binary.LittleEndian.AppendUint64(nil, pos(v))
		}},
		characters("name", name), characters("current", current), characters("next", next),
	}
}

// characters is a text that ends in a NUL.
func characters(name string, of func(*view) string) part {
	return part{name: name, size: progtype.PageSize, whole: func(v *view) []byte { return []byte(of(v)) }}
}

func sockOpsParts(t *progtype.Type) []part {
	sk := field(t, "sk")
	own := part{name: "ops", typ: "bpf_sock_ops_kern", fields: map[string]number{
		"sk": sock("sk", sk), "op": field(t, "op"), "is_fullsock": field(t, "is_fullsock"),
		"skb_data_end": dataEnd,
		"skb": func(v *view) uint64 {
			if v.Packet.Len() == 0 {
				return 0
			}
			return v.address("skb")
		},
	}, texts: map[string]text{"args": words(t, "args")}}
	return []part{own, packetPart("skb", sk), sockPart("sk", sk), network()}
}

func skMsgParts(t *progtype.Type) []part {
	sk := field(t, "sk")
	own := part{name: "msg", typ: "sk_msg", fields: map[string]number{
		"sk": sock("sk", sk), "data": data, "data_end": dataEnd,
		"sg.size": func(v *view) uint64 { return uint64(v.Packet.Len()) },
	}}
	return []part{own, sockPart("sk", sk), network()}
}

func reuseportParts(t *progtype.Type) []part {
	sk, migrating := field(t, "sk"), field(t, "migrating_sk")
	own := part{name: "reuse", typ: "sk_reuseport_kern", fields: map[string]number{
		"skb": to("skb"), "sk": sock("sk", sk), "migrating_sk": sock("migrating", migrating),
		"data_end": dataEnd, "hash": field(t, "hash"), "bind_inany": field(t, "bind_inany"),
	}}
	return []part{own, packetPart("skb", constant(0)), sockPart("sk", sk), sockPart("migrating", migrating), network()}
}

func skLookupParts(t *progtype.Type) []part {
	sk := field(t, "sk")
	own := part{name: "lookup", typ: "bpf_sk_lookup_kern", fields: named(t, map[string]string{
		"family": "family", "protocol": "protocol", "sport": "remote_port", "dport": "local_port",
		"v4.saddr": "remote_ip4", "v4.daddr": "local_ip4", "ingress_ifindex": "ingress_ifindex",
	})}
	own.fields["v6.saddr"], own.fields["v6.daddr"] = ifIPv6(t, "saddr"), ifIPv6(t, "daddr")
	own.fields["selected_sk"] = sock("sk", sk)
	addr := func(name, seen string) part {
		return part{name: name, typ: "in6_addr", texts: map[string]text{"in6_u": words(t, seen)}}
	}
	return []part{own, addr("saddr", "remote_ip6"), addr("daddr", "local_ip6"), sockPart("sk", sk), network()}
}

func ifIPv6(t *progtype.Type, name string) number {
	family := field(t, "family")
	return func(v *view) uint64 {
		if family(v) != progtype.AFInet6 {
			return 0
		}
		return v.address(name)
	}
}

func flowParts(t *progtype.Type) []part {
	own := part{name: "flow", typ: "bpf_flow_dissector", fields: map[string]number{
		"flow_keys": field(t, "flow_keys"), "skb": to("skb"), "data": data, "data_end": dataEnd,
	}}
	return []part{own, packetPart("skb", constant(0))}
}

// perfParts are those behind a struct bpf_perf_event_data, whose registers lie in the
// context.
func perfParts(t *progtype.Type) []part {
	regs := uintptr(t.Fields[0].At)
	own := part{name: "event", typ: "bpf_perf_event_data_kern", fields: map[string]number{
		"regs": func(v *view) uint64 { return uint64(v.Ctx() + regs) }, "data": to("sample"),
	}}
	return []part{own, {name: "sample", typ: "perf_sample_data", fields: named(t, map[string]string{
		"period": "sample_period", "addr": "addr",
	})}}
}

func deviceParts(t *progtype.Type) []part {
	return []part{{name: "access", typ: "bpf_cgroup_dev_ctx", fields: named(t, map[string]string{
		"access_type": "access_type", "major": "major", "minor": "minor",
	})}}
}
