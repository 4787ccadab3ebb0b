// SPDX-License-Identifier: Apache-2.0
/* Forwards what arrives to another interface, as XDP and as tc, and counts it. */
#include "bpf.h"

/* The interface that packets leave by, and which version of the program this is. */
const volatile __u32 out;
const volatile __u64 version;

struct forwarded {
	__u64 packets;
	__u64 by_version; /* the last one's */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct forwarded);
} counters SEC(".maps");

static __always_inline long forward(void)
{
	__u32 key = 0;
	struct forwarded *f = bpf_map_lookup_elem(&counters, &key);

	if (f) {
		__sync_fetch_and_add(&f->packets, 1);
		f->by_version = version;
	}
	return bpf_redirect(out, 0);
}

SEC("xdp")
int forward_xdp(struct xdp_md *ctx)
{
	(void)ctx;
	return forward();
}

SEC("tcx/ingress")
int forward_tcx(struct __sk_buff *skb)
{
	(void)skb;
	return forward();
}

char LICENSE[] SEC("license") = "GPL";
