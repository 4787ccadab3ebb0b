// SPDX-License-Identifier: Apache-2.0
/* A mistake: a packet pointer is used after a helper has moved the packet. */
#include "../include/bpf.h"
#include "../include/net.h"

SEC("xdp")
int stale_pointer(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;

	if ((void *)(eth + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(struct vlan_hdr)))
		return XDP_ABORTED;
	eth->h_proto = bpf_htons(ETH_P_8021Q); /* the header is elsewhere now */
	return XDP_TX;
}

char _license[] SEC("license") = "Dual MIT/GPL";
