// SPDX-License-Identifier: Apache-2.0
/* Packet headers: Ethernet, 802.1Q, IPv4, IPv6, TCP, UDP. */
#ifndef SKEP_NET_H
#define SKEP_NET_H

#include "bpf.h"
#include <bpf/bpf_endian.h>

enum ethertype {
	ETH_P_IP = 0x0800,
	ETH_P_ARP = 0x0806,
	ETH_P_8021Q = 0x8100,
	ETH_P_IPV6 = 0x86dd,
	ETH_P_8021AD = 0x88a8,
	ETH_P_LLDP = 0x88cc,
};

enum ip_protocol {
	IPPROTO_ICMP = 1,
	IPPROTO_TCP = 6,
	IPPROTO_UDP = 17,
	IPPROTO_GRE = 47,
	IPPROTO_ICMPV6 = 58,
	IPPROTO_SCTP = 132,
};

struct in_addr {
	__be32 s_addr;
};

struct in6_addr {
	union {
		__u8 s6_addr[16];
		__be32 s6_addr32[4];
	};
};

struct ethhdr {
	__u8 h_dest[6];
	__u8 h_source[6];
	__be16 h_proto;
};

struct vlan_hdr {
	__be16 h_vlan_TCI;
	__be16 h_vlan_encapsulated_proto;
};

#define VLAN_VID_MASK 0x0fff

struct iphdr {
	__u8 ihl : 4, version : 4;
	__u8 tos;
	__be16 tot_len;
	__be16 id;
	__be16 frag_off;
	__u8 ttl;
	__u8 protocol;
	__be16 check;
	struct in_addr saddr;
	struct in_addr daddr;
};

#define IP_OFFSET 0x1fff /* of frag_off: where the fragment begins */

struct ipv6hdr {
	__be32 flow; /* version, traffic class, flow label */
	__be16 payload_len;
	__u8 nexthdr;
	__u8 hop_limit;
	struct in6_addr saddr;
	struct in6_addr daddr;
};

struct tcphdr {
	__be16 source;
	__be16 dest;
	__be32 seq;
	__be32 ack_seq;
	__u8 res : 4, doff : 4;
	__u8 flags;
	__be16 window;
	__be16 check;
	__be16 urg_ptr;
};

enum tcp_flag { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_PSH = 8, TCP_ACK = 16 };

struct udphdr {
	__be16 source;
	__be16 dest;
	__be16 len;
	__be16 check;
};

#endif
