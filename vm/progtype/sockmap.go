package progtype

import "github.com/cilium/ebpf"

// The types that see what flows through sockets: TCP's events, and messages and
// segments of sockets in a sockmap.

var passes = map[uint32]string{0: "SK_DROP", 1: "SK_PASS"}

func init() {
	register(
		uapi(&Type{
			Prog: ebpf.SockOps, Name: "sockops",
			CtxName: "struct bpf_sock_ops", CtxSize: 224,
			Fields: sockOpsFields(), Returns: &Range{0, 1},
		}),
		uapi(&Type{
			Prog: ebpf.SkMsg, Name: "sk_msg",
			CtxName: "struct sk_msg_md", CtxSize: 80,
			Fields: concat(
				packetPointers("data", "data_end", 0, 8),
				[]Field{word("family", 16).whole(), word("remote_ip4", 20).whole(), word("local_ip4", 24).whole()},
				whole(words("remote_ip6", 28, 4)), whole(words("local_ip6", 44, 4)),
				[]Field{
					word("remote_port", 60).whole().network(4), word("local_port", 64).whole(),
					length("size", 68).whole(), socket(72),
				}),
			Verdicts: passes,
		}),
		skSKB(&Type{Attach: []ebpf.AttachType{ebpf.AttachSkSKBStreamVerdict, ebpf.AttachSkSKBVerdict}, Name: "sk_skb", Verdicts: passes}),
		// A parser returns the length of the message that begins here.
		skSKB(&Type{Attach: []ebpf.AttachType{ebpf.AttachSkSKBStreamParser}, Name: "sk_skb/stream_parser"}),
	)
}

func skSKB(t *Type) *Type {
	t.Prog, t.CtxName, t.CtxSize = ebpf.SkSKB, "struct __sk_buff", skbSize
	t.Fields = skbFieldsFor([]string{
		"mark", "tc_classid", "data_meta", "tstamp", "wire_len", "tstamp_type", "hwtstamp",
	}, []string{"priority", "tc_index"})
	for i := range t.Fields {
		if f := &t.Fields[i]; f.Name == "cb" {
			f.Write = false
		}
	}
	return uapi(t)
}

func whole(fields []Field) []Field {
	for i := range fields {
		fields[i].Whole = true
	}
	return fields
}

// sockOpsFullsock is where struct bpf_sock_ops has is_fullsock, in bytes.
const sockOpsFullsock = 72

// sockOpsFields are those of struct bpf_sock_ops. A program answers in reply,
// which lies over args[0].
func sockOpsFields() []Field {
	named := func(off uint16, names ...string) []Field {
		var all []Field
		for i, name := range names {
			all = append(all, word(name, off+4*uint16(i)).whole())
		}
		return all
	}
	return concat(
		named(0, "op"),
		[]Field{word("args[0]", 4).whole(), word("reply", 4).whole().writable()},
		named(8, "args[1]", "args[2]", "args[3]", "family", "remote_ip4", "local_ip4"),
		whole(words("remote_ip6", 32, 4)), whole(words("local_ip6", 48, 4)),
		[]Field{word("remote_port", 64).whole().network(4)},
		named(68, "local_port", "is_fullsock", "snd_cwnd", "srtt_us", "bpf_sock_ops_cb_flags", "state", "rtt_min",
			"snd_ssthresh", "rcv_nxt", "snd_nxt", "snd_una", "mss_cache", "ecn_flags", "rate_delivered",
			"rate_interval_us", "packets_out", "retrans_out", "total_retrans", "segs_in", "data_segs_in", "segs_out",
			"data_segs_out", "lost_out", "sacked_out"),
		[]Field{
			word("sk_txhash", 164).whole().writable(),
			field("bytes_received", 168, 8).whole(), field("bytes_acked", 176, 8).whole(), socket(184),
		},
		packetPointers("skb_data", "skb_data_end", 192, 8),
		[]Field{length("skb_len", 208).whole(), word("skb_tcp_flags", 212).head(), field("skb_hwtstamp", 216, 8).whole()})
}
