// SPDX-License-Identifier: Apache-2.0
/*
 * A router: XDP asks for the way of each IPv4 packet, gives it the addresses of
 * the next hop, and sends it there. What comes of the questions is counted.
 */
#include "../include/bpf.h"
#include "../include/net.h"

#define AF_INET 2

/* The answers of bpf_fib_lookup. */
enum fib_result {
	FIB_SUCCESS,
	FIB_BLACKHOLE,
	FIB_UNREACHABLE,
	FIB_PROHIBIT,
	FIB_NOT_FWDED,
	FIB_FWD_DISABLED,
	FIB_UNSUPP_LWT,
	FIB_NO_NEIGH,
	FIB_FRAG_NEEDED,
};

struct bpf_fib_lookup {
	__u8 family;
	__u8 l4_protocol;
	__be16 sport;
	__be16 dport;
	__u16 tot_len;
	__u32 ifindex;
	__u32 rt_metric;
	__be32 src[4];
	__be32 dst[4];
	__be16 h_vlan_proto;
	__be16 h_vlan_TCI;
	__u8 smac[6];
	__u8 dmac[6];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, enum fib_result);
	__type(value, __u64);
} ways SEC(".maps");

static __always_inline void count(enum fib_result result)
{
	__u64 one = 1, *n = bpf_map_lookup_elem(&ways, &result);

	if (n)
		__sync_fetch_and_add(n, 1);
	else
		bpf_map_update_elem(&ways, &result, &one, 1 /* BPF_NOEXIST */);
}

SEC("xdp")
int forward(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct bpf_fib_lookup way = {};
	struct ethhdr *eth = data;
	struct iphdr *ip = data + sizeof(*eth);
	__u32 sum;
	long result;

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(0x0800) || ip->ttl <= 1)
		return XDP_PASS;
	way.family = AF_INET;
	way.l4_protocol = ip->protocol;
	way.tot_len = bpf_ntohs(ip->tot_len);
	way.ifindex = ctx->ingress_ifindex;
	way.src[0] = ip->saddr.s_addr;
	way.dst[0] = ip->daddr.s_addr;
	result = bpf_fib_lookup(ctx, &way, sizeof(way), 0);
	if (result < 0)
		return XDP_ABORTED;
	count(result);
	switch (result) {
	case FIB_SUCCESS:
		break;
	case FIB_BLACKHOLE:
	case FIB_UNREACHABLE:
	case FIB_PROHIBIT:
		return XDP_DROP;
	default:
		return XDP_PASS;
	}
	sum = ip->check + bpf_htons(0x0100);
	ip->check = sum + (sum >= 0xffff);
	ip->ttl--;
	__builtin_memcpy(eth->h_dest, way.dmac, 6);
	__builtin_memcpy(eth->h_source, way.smac, 6);
	return bpf_redirect(way.ifindex, 0);
}

char _license[] SEC("license") = "GPL";
