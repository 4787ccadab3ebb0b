// SPDX-License-Identifier: Apache-2.0
/*
 * A firewall: drops what comes from blocked prefixes, what wants to reach a
 * blocked TCP port, and what is cut short. Counts each, and reports each drop.
 */
#include "../include/bpf.h"
#include "../include/net.h"

struct ipv4_prefix {
	__u32 prefixlen;
	struct in_addr addr;
};

struct ipv6_prefix {
	__u32 prefixlen;
	struct in6_addr addr;
};

struct counter {
	__u64 packets;
	__u64 bytes;
};

enum reason {
	PASSED,
	BLOCKED_SOURCE,
	BLOCKED_PORT,
	MALFORMED,
	REASONS,
};

/* One drop. IPv4 addresses are IPv4-mapped: ::ffff:192.0.2.1. */
struct drop_event {
	__u64 time; /* ns since boot */
	struct in6_addr saddr;
	struct in6_addr daddr;
	__be16 sport;
	__be16 dport;
	enum ip_protocol protocol;
	enum reason reason;
	__u32 length; /* bytes */
};

/* No map holds a drop_event by type; this keeps the type in the object. */
const struct drop_event *unused_drop_event __attribute__((unused));

/* Parameters. The lists end at the first empty prefix. */
#define MAX_PREFIXES 8

const volatile __u16 blocked_port = 23; /* TCP; 0: none */

const volatile struct ipv4_prefix block_ipv4[MAX_PREFIXES] = {
	{ 24, { bpf_htonl(0xcb007100) } }, /* 203.0.113.0/24 */
	{ 32, { bpf_htonl(0xc6336442) } }, /* 198.51.100.66 */
};

const volatile struct ipv6_prefix block_ipv6[MAX_PREFIXES] = {
	{ 48, { { { 0x20, 0x01, 0x0d, 0xb8, 0x0b, 0xad } } } }, /* 2001:db8:bad::/48 */
};

/* The blocked prefixes, each with what it has stopped. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, struct ipv4_prefix);
	__type(value, struct counter);
} blocked_ipv4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, struct ipv6_prefix);
	__type(value, struct counter);
} blocked_ipv6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, REASONS);
	__type(key, enum reason);
	__type(value, struct counter);
} verdicts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} drops SEC(".maps");

__u64 events_lost; /* drops that found no room in the ring buffer */
__u64 dropped;
bool installed;

/*
 * A trie has no initial values, so the first packet puts the parameters in. A
 * prefix that user space has put in before stays as it is.
 */
static __noinline void install(void)
{
	struct counter zero = {};

	for (int i = 0; i < MAX_PREFIXES; i++) {
		struct ipv4_prefix p = block_ipv4[i];

		if (!p.prefixlen)
			break;
		bpf_map_update_elem(&blocked_ipv4, &p, &zero, BPF_NOEXIST);
	}
	for (int i = 0; i < MAX_PREFIXES; i++) {
		struct ipv6_prefix p = block_ipv6[i];

		if (!p.prefixlen)
			break;
		bpf_map_update_elem(&blocked_ipv6, &p, &zero, BPF_NOEXIST);
	}
	installed = true;
}

/* What the verdict rests on. */
struct packet {
	struct in6_addr saddr;
	struct in6_addr daddr;
	__be16 sport;
	__be16 dport;
	enum ip_protocol protocol;
	__u32 length;
};

static __always_inline void map_ipv4(struct in6_addr *to, struct in_addr from)
{
	to->s6_addr32[0] = 0;
	to->s6_addr32[1] = 0;
	to->s6_addr32[2] = bpf_htonl(0xffff);
	to->s6_addr32[3] = from.s_addr;
}

static __always_inline bool hit(struct counter *rule, __u32 length)
{
	if (!rule)
		return false;
	__sync_fetch_and_add(&rule->packets, 1);
	__sync_fetch_and_add(&rule->bytes, length);
	return true;
}

/* Takes the ports of TCP and UDP; false where the packet ends before them. */
static __always_inline bool parse_ports(struct packet *p, void *l4, void *end)
{
	struct udphdr *ports = l4; /* TCP begins with the same two */

	if (p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP)
		return true;
	if ((void *)(ports + 1) > end)
		return false;
	p->sport = ports->source;
	p->dport = ports->dest;
	return true;
}

static __always_inline enum reason check_port(struct packet *p)
{
	if (p->protocol == IPPROTO_TCP && blocked_port && p->dport == bpf_htons(blocked_port))
		return BLOCKED_PORT;
	return PASSED;
}

static __always_inline enum reason check_ipv4(struct packet *p, struct iphdr *ip, void *end)
{
	struct ipv4_prefix source = { .prefixlen = 32 };

	if ((void *)(ip + 1) > end || ip->ihl < 5)
		return MALFORMED;
	p->protocol = ip->protocol;
	map_ipv4(&p->saddr, ip->saddr);
	map_ipv4(&p->daddr, ip->daddr);
	/* Only the first fragment has ports. */
	if (!(ip->frag_off & bpf_htons(IP_OFFSET)) && !parse_ports(p, (void *)ip + ip->ihl * 4, end))
		return MALFORMED;

	source.addr = ip->saddr;
	if (hit(bpf_map_lookup_elem(&blocked_ipv4, &source), p->length))
		return BLOCKED_SOURCE;
	return check_port(p);
}

static __always_inline enum reason check_ipv6(struct packet *p, struct ipv6hdr *ip, void *end)
{
	struct ipv6_prefix source = { .prefixlen = 128 };

	if ((void *)(ip + 1) > end)
		return MALFORMED;
	p->protocol = ip->nexthdr;
	p->saddr = ip->saddr;
	p->daddr = ip->daddr;
	if (!parse_ports(p, ip + 1, end))
		return MALFORMED;

	source.addr = ip->saddr;
	if (hit(bpf_map_lookup_elem(&blocked_ipv6, &source), p->length))
		return BLOCKED_SOURCE;
	return check_port(p);
}

static __always_inline enum reason check(struct packet *p, void *data, void *end)
{
	struct ethhdr *eth = data;

	if ((void *)(eth + 1) > end)
		return MALFORMED;
	switch (eth->h_proto) {
	case bpf_htons(ETH_P_IP):
		return check_ipv4(p, (void *)(eth + 1), end);
	case bpf_htons(ETH_P_IPV6):
		return check_ipv6(p, (void *)(eth + 1), end);
	}
	return PASSED;
}

static __noinline int report(struct packet *p, enum reason reason)
{
	struct drop_event *e = bpf_ringbuf_reserve(&drops, sizeof(*e), 0);

	if (!e) {
		__sync_fetch_and_add(&events_lost, 1);
		return 0;
	}
	e->time = bpf_ktime_get_ns();
	e->saddr = p->saddr;
	e->daddr = p->daddr;
	e->sport = p->sport;
	e->dport = p->dport;
	e->protocol = p->protocol;
	e->reason = reason;
	e->length = p->length;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("xdp")
int firewall(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct packet p = { .length = end - data };
	struct counter *c;
	enum reason reason;

	if (!installed)
		install();

	reason = check(&p, data, end);
	c = bpf_map_lookup_elem(&verdicts, &reason);
	if (c) {
		c->packets++;
		c->bytes += p.length;
	}
	if (reason == PASSED)
		return XDP_PASS;

	if (!__sync_fetch_and_add(&dropped, 1))
		bpf_printk("first drop: %d bytes from %pI6, reason %d", p.length, &p.saddr, reason);
	report(&p, reason);
	return XDP_DROP;
}

char _license[] SEC("license") = "Dual MIT/GPL";
