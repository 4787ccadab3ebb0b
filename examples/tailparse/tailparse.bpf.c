// SPDX-License-Identifier: Apache-2.0
/*
 * A parser in pieces: each header has its own program, which ends in a tail call
 * to that of the next. A header without a program ends the parsing.
 */
#include "../include/bpf.h"
#include "../include/net.h"

enum header {
	ETHERNET,
	IPV4,
	IPV6,
	TCP,
	UDP,
	ICMP, /* nobody has written its parser */
	HEADERS,
};

/* What becomes of a packet. */
enum outcome {
	PARSED,
	NO_PARSER,
	MALFORMED,
	OUTCOMES,
};

/* Where the next program continues. A packet is parsed on one CPU. */
struct cursor {
	__u32 offset;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cursor);
} cursors SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HEADERS);
	__type(key, enum header);
	__type(value, __u64);
} headers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, OUTCOMES);
	__type(key, enum outcome);
	__type(value, __u64);
} outcomes SEC(".maps");

int parse_ipv4(struct xdp_md *ctx);
int parse_ipv6(struct xdp_md *ctx);
int parse_tcp(struct xdp_md *ctx);
int parse_udp(struct xdp_md *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, HEADERS);
	__type(key, enum header);
	__array(values, int(struct xdp_md *));
} parsers SEC(".maps") = {
	.values = {
		[IPV4] = (void *)&parse_ipv4,
		[IPV6] = (void *)&parse_ipv6,
		[TCP] = (void *)&parse_tcp,
		[UDP] = (void *)&parse_udp,
	},
};

static __always_inline void count(void *map, __u32 index)
{
	__u64 *n = bpf_map_lookup_elem(map, &index);

	if (n)
		++*n;
}

static __always_inline struct cursor *cursor(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&cursors, &zero);
}

static __always_inline int end(enum outcome outcome)
{
	count(&outcomes, outcome);
	return outcome == MALFORMED ? XDP_DROP : XDP_PASS;
}

/* The header of size bytes at the cursor, or NULL where the packet ends before. */
static __always_inline void *header(struct xdp_md *ctx, struct cursor *c, __u32 size)
{
	void *data = (void *)(long)ctx->data;
	__u32 offset = c->offset;

	if (offset > 256)
		return (void *)0;
	data += offset;
	if (data + size > (void *)(long)ctx->data_end)
		return (void *)0;
	return data;
}

/* Goes on with the next header, length bytes further. Comes back only where
 * that header has no parser. */
static __always_inline int next(struct xdp_md *ctx, struct cursor *c, __u32 length, enum header h)
{
	c->offset += length;
	count(&headers, h);
	bpf_tail_call(ctx, &parsers, h);
	return end(NO_PARSER);
}

static __always_inline int next_ip(struct xdp_md *ctx, struct cursor *c, __u32 length, __u8 protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return next(ctx, c, length, TCP);
	case IPPROTO_UDP:
		return next(ctx, c, length, UDP);
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return next(ctx, c, length, ICMP);
	}
	return end(NO_PARSER);
}

SEC("xdp")
int parse_ipv4(struct xdp_md *ctx)
{
	struct cursor *c = cursor();
	struct iphdr *ip;

	if (!c)
		return XDP_ABORTED;
	ip = header(ctx, c, sizeof(*ip));
	if (!ip || ip->ihl < 5)
		return end(MALFORMED);
	return next_ip(ctx, c, ip->ihl * 4, ip->protocol);
}

SEC("xdp")
int parse_ipv6(struct xdp_md *ctx)
{
	struct cursor *c = cursor();
	struct ipv6hdr *ip;

	if (!c)
		return XDP_ABORTED;
	ip = header(ctx, c, sizeof(*ip));
	if (!ip)
		return end(MALFORMED);
	return next_ip(ctx, c, sizeof(*ip), ip->nexthdr);
}

SEC("xdp")
int parse_tcp(struct xdp_md *ctx)
{
	struct cursor *c = cursor();
	struct tcphdr *tcp;

	if (!c)
		return XDP_ABORTED;
	tcp = header(ctx, c, sizeof(*tcp));
	if (!tcp || tcp->doff < 5)
		return end(MALFORMED);
	return end(PARSED);
}

SEC("xdp")
int parse_udp(struct xdp_md *ctx)
{
	struct cursor *c = cursor();
	struct udphdr *udp;

	if (!c)
		return XDP_ABORTED;
	udp = header(ctx, c, sizeof(*udp));
	if (!udp || bpf_ntohs(udp->len) < sizeof(*udp))
		return end(MALFORMED);
	return end(PARSED);
}

SEC("xdp")
int tailparse(struct xdp_md *ctx)
{
	struct cursor *c = cursor();
	struct ethhdr *eth;

	if (!c)
		return XDP_ABORTED;
	c->offset = 0;
	count(&headers, ETHERNET);
	eth = header(ctx, c, sizeof(*eth));
	if (!eth)
		return end(MALFORMED);
	switch (eth->h_proto) {
	case bpf_htons(ETH_P_IP):
		return next(ctx, c, sizeof(*eth), IPV4);
	case bpf_htons(ETH_P_IPV6):
		return next(ctx, c, sizeof(*eth), IPV6);
	}
	return end(NO_PARSER);
}

char _license[] SEC("license") = "Dual MIT/GPL";
