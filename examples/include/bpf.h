// SPDX-License-Identifier: Apache-2.0
/*
 * The part of Linux's BPF interface that the examples use: integer types, map
 * types, contexts and verdicts, and with them skep's <bpf/bpf_helpers.h>. Other
 * programs have it all in vmlinux.h; the examples' objects are the same whatever
 * kernel they are built on.
 */
#ifndef SKEP_BPF_H
#define SKEP_BPF_H

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed short __s16;
typedef signed int __s32;
typedef signed long long __s64;
typedef __u16 __be16; /* network byte order */
typedef __u32 __be32;
typedef __u32 __wsum;
typedef _Bool bool;

enum { false, true };

enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PROG_ARRAY = 3,
	BPF_MAP_TYPE_PERCPU_HASH = 5,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_LPM_TRIE = 11,
	BPF_MAP_TYPE_DEVMAP = 14,
	BPF_MAP_TYPE_QUEUE = 22,
	BPF_MAP_TYPE_RINGBUF = 27,
};

/* Flags of a map and of an update. */
enum { BPF_F_NO_PREALLOC = 1 };
enum { BPF_ANY, BPF_NOEXIST, BPF_EXIST };

/* Where bpf_skb_load_bytes_relative counts from. */
enum bpf_hdr_start_off { BPF_HDR_START_MAC, BPF_HDR_START_NET };

enum xdp_action { XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX, XDP_REDIRECT };

/* What a tcx program returns. */
enum tcx_action_base { TCX_NEXT = -1, TCX_PASS = 0, TCX_DROP = 2, TCX_REDIRECT = 7 };

struct xdp_md {
	__u32 data;
	__u32 data_end;
	__u32 data_meta;
	__u32 ingress_ifindex;
	__u32 rx_queue_index;
	__u32 egress_ifindex;
};

struct __sk_buff {
	__u32 len;
	__u32 pkt_type;
	__u32 mark;
	__u32 queue_mapping;
	__u32 protocol;
	__u32 vlan_present;
	__u32 vlan_tci;
	__u32 vlan_proto;
	__u32 priority;
	__u32 ingress_ifindex;
	__u32 ifindex;
	__u32 tc_index;
	__u32 cb[5];
	__u32 hash;
	__u32 tc_classid;
	__u32 data;
	__u32 data_end;
	__u32 napi_id;
	__u32 family;
	__u32 remote_ip4;
	__u32 local_ip4;
	__u32 remote_ip6[4];
	__u32 local_ip6[4];
	__u32 remote_port;
	__u32 local_port;
	__u32 data_meta;
};

/* A devmap's value: an interface, and a program that runs before a packet leaves
 * by it. */
struct bpf_devmap_val {
	__u32 ifindex;
	union {
		int fd;	  /* on update */
		__u32 id; /* on lookup */
	} bpf_prog;
};

#include <bpf/bpf_helpers.h>

#endif
