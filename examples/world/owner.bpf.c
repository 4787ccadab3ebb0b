// SPDX-License-Identifier: Apache-2.0
/*
 * Who gets a packet: tc looks for the socket that each TCP segment over IPv4 is
 * for, and counts segments by its port, and those that no socket is there for.
 */
#include "../include/bpf.h"
#include "../include/net.h"

#define TC_ACT_OK 0
#define TC_ACT_SHOT 2
#define BPF_TCP_LISTEN 10

struct bpf_sock {
	__u32 bound_dev_if;
	__u32 family;
	__u32 type;
	__u32 protocol;
	__u32 mark;
	__u32 priority;
	__u32 src_ip4;
	__u32 src_ip6[4];
	__u32 src_port;
	__be16 dst_port;
	__u16 : 16;
	__u32 dst_ip4;
	__u32 dst_ip6[4];
	__u32 state;
	__s32 rx_queue_mapping;
};

struct bpf_sock_tuple {
	__be32 saddr, daddr;
	__be16 sport, dport;
};

struct segments {
	__u64 connected; /* of a connection */
	__u64 opening;	 /* to a socket that listens */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32); /* port */
	__type(value, struct segments);
} owners SEC(".maps");

__u64 unclaimed;

SEC("tc")
int owner(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = data + sizeof(*eth);
	struct tcphdr *tcp = (void *)(ip + 1);
	struct bpf_sock_tuple tuple;
	struct segments none = {}, *n;
	struct bpf_sock *sock;
	__u32 port;

	if ((void *)(tcp + 1) > end || eth->h_proto != bpf_htons(0x0800) || ip->ihl != 5 ||
	    ip->protocol != IPPROTO_TCP)
		return TC_ACT_OK;
	tuple.saddr = ip->saddr.s_addr;
	tuple.daddr = ip->daddr.s_addr;
	tuple.sport = tcp->source;
	tuple.dport = tcp->dest;
	sock = bpf_sk_lookup_tcp(skb, &tuple, sizeof(tuple), -1 /* BPF_F_CURRENT_NETNS */, 0);
	if (!sock) {
		__sync_fetch_and_add(&unclaimed, 1);
		return TC_ACT_SHOT;
	}
	port = sock->src_port;
	bpf_map_update_elem(&owners, &port, &none, 1 /* BPF_NOEXIST */);
	n = bpf_map_lookup_elem(&owners, &port);
	if (n)
		__sync_fetch_and_add(sock->state == BPF_TCP_LISTEN ? &n->opening : &n->connected, 1);
	bpf_sk_release(sock);
	return TC_ACT_OK;
}

char _license[] SEC("license") = "GPL";
