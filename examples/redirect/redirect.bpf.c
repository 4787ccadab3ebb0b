// SPDX-License-Identifier: Apache-2.0
/*
 * A load spreader: XDP sends IP packets out of one of two interfaces, by their
 * addresses; a program of the devmap gives them the sender's address of the
 * interface; what is not IP goes on into the stack, where tc counts it.
 */
#include "../include/bpf.h"
#include "../include/net.h"

#define LINKS 2

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, LINKS);
	__type(key, __u32);
	__type(value, struct bpf_devmap_val);
} links SEC(".maps");

/* Packets and bytes that left by each link. */
struct counter {
	__u64 packets;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32); /* interface */
	__type(value, struct counter);
} sent SEC(".maps");

/* Packets that the spreader left to the stack, by EtherType. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, enum ethertype);
	__type(value, __u64);
} passed SEC(".maps");

/* What XDP tells tc about a packet, as metadata before it. */
struct note {
	enum ethertype ethertype; /* below the VLAN tag */
};

/* Passes a packet on to the stack with a note. */
static __always_inline int pass(struct xdp_md *ctx, enum ethertype type)
{
	struct note *note;

	if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*note)))
		return XDP_PASS; /* the driver has no room for it */
	note = (void *)(long)ctx->data_meta;
	if ((void *)(note + 1) > (void *)(long)ctx->data)
		return XDP_ABORTED;
	note->ethertype = type;
	return XDP_PASS;
}

static __always_inline __u32 fold(const struct in6_addr *a)
{
	return a->s6_addr32[0] ^ a->s6_addr32[1] ^ a->s6_addr32[2] ^ a->s6_addr32[3];
}

/* Chooses a link, by all bits of the addresses. */
static __always_inline int spread(__u32 addresses)
{
	__u32 hash = addresses ^ addresses >> 16;

	hash ^= hash >> 8;
	return bpf_redirect_map(&links, (hash * 0x9e3779b1u) >> 31, XDP_PASS);
}

SEC("xdp")
int redirect(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	void *next = eth + 1;
	__be16 proto;

	if (next > end)
		return XDP_DROP;
	proto = eth->h_proto;
	if (proto == bpf_htons(ETH_P_8021Q)) {
		struct vlan_hdr *tag = next;

		if ((void *)(tag + 1) > end)
			return XDP_DROP;
		proto = tag->h_vlan_encapsulated_proto;
		next = tag + 1;
	}
	if (proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = next;

		if ((void *)(ip + 1) > end)
			return XDP_DROP;
		return spread(ip->saddr.s_addr ^ ip->daddr.s_addr);
	}
	if (proto == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = next;

		if ((void *)(ip + 1) > end)
			return XDP_DROP;
		if (ip->nexthdr == IPPROTO_ICMPV6)
			return pass(ctx, ETH_P_IPV6); /* neighbours are the host's business */
		return spread(fold(&ip->saddr) ^ fold(&ip->daddr));
	}
	return pass(ctx, bpf_ntohs(proto));
}

/* Runs for each packet that the devmap sends out. */
SEC("xdp/devmap")
int stamp(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	__u32 link = ctx->egress_ifindex;
	struct counter fresh = {}, *c;

	if ((void *)(eth + 1) > end)
		return XDP_DROP;
	__builtin_memcpy(eth->h_source, "\x02\x00\x5e\x10\x00", 5);
	eth->h_source[5] = link;

	c = bpf_map_lookup_elem(&sent, &link);
	if (!c) {
		bpf_map_update_elem(&sent, &link, &fresh, BPF_NOEXIST);
		c = bpf_map_lookup_elem(&sent, &link);
		if (!c)
			return XDP_PASS;
	}
	__sync_fetch_and_add(&c->packets, 1);
	__sync_fetch_and_add(&c->bytes, end - (void *)eth);
	return XDP_PASS;
}

SEC("tcx/ingress")
int count(struct __sk_buff *skb)
{
	struct note *note = (void *)(long)skb->data_meta;
	enum ethertype type = 0; /* no note: no XDP program has seen it */
	__u64 one = 1, *n;

	if ((void *)(note + 1) <= (void *)(long)skb->data)
		type = note->ethertype;
	n = bpf_map_lookup_elem(&passed, &type);
	if (n)
		__sync_fetch_and_add(n, 1);
	else
		bpf_map_update_elem(&passed, &type, &one, BPF_NOEXIST);
	return TCX_NEXT;
}

char _license[] SEC("license") = "Dual MIT/GPL";
