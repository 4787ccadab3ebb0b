// SPDX-License-Identifier: Apache-2.0
/*
 * A flow table: packets, bytes, times and TCP flags of each 5-tuple in each
 * VLAN, and a histogram of packet sizes.
 */
#include "../include/bpf.h"
#include "../include/net.h"

/* IPv4 addresses are IPv4-mapped: ::ffff:192.0.2.1. No padding: a key is
 * compared as bytes. */
struct flow_key {
	struct in6_addr saddr;
	struct in6_addr daddr;
	__be16 sport;
	__be16 dport;
	__u16 outer_vlan; /* the provider's, 0: none */
	__u16 vlan;	  /* 0: untagged */
	enum ip_protocol protocol;
};

struct flow {
	__u64 packets;
	__u64 bytes;
	__u64 first_seen; /* ns since boot */
	__u64 last_seen;
	__u64 tcp_flags; /* all that were seen, enum tcp_flag */
};

/* The flow that was quiet longest gives way to a new one. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct flow_key);
	__type(value, struct flow);
} flow_table SEC(".maps");

/* Slot n counts packets of 2^n to 2^(n+1)-1 bytes; the last takes the rest. */
#define SLOTS 17

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} size_hist SEC(".maps");

__u64 not_ip; /* packets that belong to no flow */

/* The logarithm of n, rounded down. */
static __always_inline __u32 log2_floor(__u32 n)
{
	__u32 log = 0;

	for (int shift = 16; shift; shift /= 2) {
		if (n >> shift) {
			log += shift;
			n >>= shift;
		}
	}
	return log;
}

static __always_inline void count_size(__u32 length)
{
	__u32 slot = log2_floor(length);
	__u64 *n;

	if (slot >= SLOTS)
		slot = SLOTS - 1;
	n = bpf_map_lookup_elem(&size_hist, &slot);
	if (n)
		__sync_fetch_and_add(n, 1);
}

static __always_inline void add_vlan(struct flow_key *key, __be16 tci)
{
	key->outer_vlan = key->vlan;
	key->vlan = bpf_ntohs(tci) & VLAN_VID_MASK;
}

static __always_inline void map_ipv4(struct in6_addr *to, struct in_addr from)
{
	to->s6_addr32[0] = 0;
	to->s6_addr32[1] = 0;
	to->s6_addr32[2] = bpf_htonl(0xffff);
	to->s6_addr32[3] = from.s_addr;
}

/*
 * Fills the key from the packet and gives the TCP flags, or -1 where the packet
 * is not IP or cut short.
 */
static __always_inline int parse(struct __sk_buff *skb, struct flow_key *key)
{
	void *end = (void *)(long)skb->data_end;
	struct ethhdr *eth = (void *)(long)skb->data;
	void *next = eth + 1;
	struct tcphdr *tcp;
	__be16 proto;

	if (next > end)
		return -1;
	proto = eth->h_proto;

	/* Linux usually takes the outer tag off the packet before tc sees it. */
	if (skb->vlan_present)
		add_vlan(key, bpf_htons(skb->vlan_tci));
	for (int i = 0; i < 2; i++) {
		struct vlan_hdr *tag = next;

		if (proto != bpf_htons(ETH_P_8021Q) && proto != bpf_htons(ETH_P_8021AD))
			break;
		if ((void *)(tag + 1) > end)
			return -1;
		add_vlan(key, tag->h_vlan_TCI);
		proto = tag->h_vlan_encapsulated_proto;
		next = tag + 1;
	}

	if (proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = next;

		if ((void *)(ip + 1) > end || ip->ihl < 5)
			return -1;
		map_ipv4(&key->saddr, ip->saddr);
		map_ipv4(&key->daddr, ip->daddr);
		key->protocol = ip->protocol;
		if (ip->frag_off & bpf_htons(IP_OFFSET))
			return 0; /* the ports are in the first fragment */
		next += ip->ihl * 4;
	} else if (proto == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = next;

		if ((void *)(ip + 1) > end)
			return -1;
		key->saddr = ip->saddr;
		key->daddr = ip->daddr;
		key->protocol = ip->nexthdr;
		next = ip + 1;
	} else {
		return -1;
	}

	if (key->protocol == IPPROTO_UDP) {
		struct udphdr *udp = next;

		if ((void *)(udp + 1) > end)
			return -1;
		key->sport = udp->source;
		key->dport = udp->dest;
		return 0;
	}
	if (key->protocol != IPPROTO_TCP)
		return 0;
	tcp = next;
	if ((void *)(tcp + 1) > end)
		return -1;
	key->sport = tcp->source;
	key->dport = tcp->dest;
	return tcp->flags;
}

SEC("tcx/ingress")
int flows(struct __sk_buff *skb)
{
	struct flow_key key = {};
	struct flow fresh = {}, *f;
	__u64 now = bpf_ktime_get_ns();
	int flags;

	count_size(skb->len);
	flags = parse(skb, &key);
	if (flags < 0) {
		__sync_fetch_and_add(&not_ip, 1);
		return TCX_NEXT;
	}

	f = bpf_map_lookup_elem(&flow_table, &key);
	if (!f) {
		/* Another CPU may be first; then its entry is the one to count in. */
		fresh.first_seen = now;
		bpf_map_update_elem(&flow_table, &key, &fresh, BPF_NOEXIST);
		f = bpf_map_lookup_elem(&flow_table, &key);
		if (!f)
			return TCX_NEXT;
	}
	__sync_fetch_and_add(&f->packets, 1);
	__sync_fetch_and_add(&f->bytes, skb->len);
	__sync_fetch_and_or(&f->tcp_flags, flags);
	f->last_seen = now;
	return TCX_NEXT;
}

char _license[] SEC("license") = "Dual MIT/GPL";
