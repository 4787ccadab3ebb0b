// SPDX-License-Identifier: Apache-2.0
/* A mistake: the IPv4 header is read although the packet may end before it. */
#include "../include/bpf.h"
#include "../include/net.h"

SEC("xdp")
int no_bounds_check(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);

	if ((void *)(eth + 1) > end)
		return XDP_DROP;
	if (eth->h_proto == bpf_htons(ETH_P_IP) && ip->ttl == 0)
		return XDP_DROP;
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
