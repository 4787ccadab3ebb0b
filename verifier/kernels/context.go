package kernels

// contextFields are fields of contexts that came after their structures, by the
// structure's name in linux/bpf.h and the field's.
var contextFields = map[string]map[string]Version{
	"struct __sk_buff": {
		"gso_size": V(5, 7), "hwtstamp": V(5, 16), "tstamp_type": V(5, 18),
	},
	"struct xdp_md":          {"egress_ifindex": V(5, 8)},
	"struct sk_msg_md":       {"sk": V(5, 8)},
	"struct bpf_sock":        {"rx_queue_mapping": V(5, 9)},
	"struct sk_reuseport_md": {"sk": V(5, 14), "migrating_sk": V(5, 14)},
	"struct bpf_sk_lookup":   {"ingress_ifindex": V(5, 17)},
	"struct bpf_sock_ops": {
		"skb_data": V(5, 10), "skb_data_end": V(5, 10), "skb_len": V(5, 10), "skb_tcp_flags": V(5, 10), "skb_hwtstamp": V(6, 2),
	},
}

// ContextField reports whether the context of a program type has a field ("struct
// __sk_buff", "hwtstamp"), and since when Linux has it; 0: as long as the structure.
func (k *Kernel) ContextField(context, field string) (since Version, ok bool) {
	since = contextFields[context][field]
	return since, k.version >= since
}
