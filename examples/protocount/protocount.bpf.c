// SPDX-License-Identifier: Apache-2.0
/* A protocol counter: packets and bytes by EtherType and IP protocol. */
#include "../include/bpf.h"
#include "../include/net.h"

struct protocol {
	enum ethertype ethertype;
	enum ip_protocol protocol; /* 0 where the packet is not IP */
};

struct counter {
	__u64 packets;
	__u64 bytes; /* from the network header on */
};

/* Each CPU counts for itself, so that none waits for another. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct protocol);
	__type(value, struct counter);
} counts SEC(".maps");

__u64 lost; /* packets of a protocol that found no room in counts */

/*
 * A socket filter may be attached to sockets that see the Ethernet header and
 * to sockets that do not, so offsets count from the network header.
 */
static __always_inline __u8 load_byte(struct __sk_buff *skb, __u32 offset)
{
	__u8 b = 0;

	bpf_skb_load_bytes_relative(skb, offset, &b, 1, BPF_HDR_START_NET);
	return b;
}

SEC("socket")
int protocount(struct __sk_buff *skb)
{
	struct counter one = { .packets = 1, .bytes = skb->len };
	struct protocol key = { .ethertype = bpf_ntohs(skb->protocol) };
	struct counter *c;

	if (key.ethertype == ETH_P_IP)
		key.protocol = load_byte(skb, __builtin_offsetof(struct iphdr, protocol));
	else if (key.ethertype == ETH_P_IPV6)
		key.protocol = load_byte(skb, __builtin_offsetof(struct ipv6hdr, nexthdr));

	c = bpf_map_lookup_elem(&counts, &key);
	if (c) {
		c->packets++;
		c->bytes += skb->len;
	} else if (bpf_map_update_elem(&counts, &key, &one, BPF_NOEXIST)) {
		__sync_fetch_and_add(&lost, 1);
	}
	return 0; /* the socket itself gets nothing */
}

char _license[] SEC("license") = "Dual MIT/GPL";
