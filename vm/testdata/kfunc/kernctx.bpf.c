// SPDX-License-Identifier: Apache-2.0
/*
 * The kernel's own structures behind the context: whole, by copies whose sizes and ways
 * the run is told, and field by field, before and after helpers change the packet.
 */
#include "kfunc.h"

#define __core __attribute__((preserve_access_index))

struct __sk_buff { u32 len, pkt_type, mark, queue_mapping, protocol, vlan_present, vlan_tci, vlan_proto, priority; };
struct xdp_md { u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex; };

struct net_device { int ifindex; unsigned int mtu; char name[16]; } __core;
struct sk_buff {
	struct net_device *dev;
	unsigned int len, data_len;
	u32 mark, priority, hash;
	u16 vlan_tci, network_header, mac_header, protocol;
	unsigned int tail, end;
	unsigned char *head, *data;
} __core;
struct skb_shared_info { u8 meta_len, nr_frags; u16 gso_size, gso_segs; u32 xdp_frags_size; } __core;
struct iphdr { u8 first, tos; u16 tot_len, id, frag_off; u8 ttl, protocol; u16 check; u32 saddr, daddr; } __core;
struct xdp_rxq_info { struct net_device *dev; u32 queue_index, frag_size; } __core;
struct xdp_buff {
	void *data, *data_end, *data_meta, *data_hard_start;
	struct xdp_rxq_info *rxq;
	u32 frame_sz, flags;
} __core;

extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym;
extern void *bpf_rdonly_cast(const void *obj, u32 btf_id) __ksym;
#define cast(ptr, type) ((type *)bpf_rdonly_cast((const void *)(ptr), __builtin_btf_type_id(*(type *)0, 1)))

static long (*const bpf_probe_read_kernel)(void *dst, u32 size, const void *src) = (void *)113;
static long (*const bpf_skb_store_bytes)(void *ctx, u32 off, const void *from, u32 len, u64 flags) = (void *)9;
static long (*const bpf_skb_vlan_push)(void *ctx, u16 proto, u16 tci) = (void *)18;
static u32 (*const bpf_get_hash_recalc)(void *ctx) = (void *)34;
static long (*const bpf_set_hash)(void *ctx, u32 hash) = (void *)48;
static long (*const bpf_skb_change_tail)(void *ctx, u32 len, u64 flags) = (void *)38;
static long (*const bpf_skb_change_head)(void *ctx, u32 len, u64 flags) = (void *)43;
static long (*const bpf_xdp_adjust_head)(void *ctx, int by) = (void *)44;
static long (*const bpf_xdp_adjust_meta)(void *ctx, int by) = (void *)54;
static long (*const bpf_xdp_adjust_tail)(void *ctx, int by) = (void *)65;

/* Copies of structures: the n-th is of size steps[n].size, where the pointer leads that
 * is at an offset of an earlier copy; the first is the context's own. Behind its second
 * pointer is another 4 bytes' offset from it, where there is one. */
struct step { u32 from, off, size, plus; };
struct step steps[4];
u8 copies[4][4096];

static __noinline int copy(u64 own, u32 n)
{
	struct step *s = &steps[n & 3];
	u64 at = own;
	u32 more = 0;

	if (n) {
		bpf_probe_read_kernel(&at, sizeof(at), &copies[s->from & 3][s->off & 4088]);
		if (s->plus)
			bpf_probe_read_kernel(&more, sizeof(more), &copies[s->from & 3][s->plus & 4092]);
	}
	return bpf_probe_read_kernel(copies[n & 3], s->size & 4095, (void *)(at + more));
}

static __noinline int copy_all(u64 own)
{
	OUT(0, copy(own, 0));
	OUT(1, copy(own, 1));
	OUT(2, copy(own, 2));
	OUT(3, copy(own, 3));
	return 0;
}

SEC("tc")
int skb_whole(struct __sk_buff *ctx)
{
	if (in[0] == 1)
		bpf_get_hash_recalc(ctx);
	else if (in[0] == 2)
		bpf_set_hash(ctx, in[1]);
	return copy_all((u64)bpf_cast_to_kern_ctx(ctx));
}

SEC("cgroup_skb/egress")
int cgroup_whole(struct __sk_buff *ctx)
{
	copy_all((u64)bpf_cast_to_kern_ctx(ctx));
	return 1;
}

SEC("socket")
int filter_whole(struct __sk_buff *ctx)
{
	return copy_all((u64)bpf_cast_to_kern_ctx(ctx));
}

SEC("xdp")
int xdp_whole(struct xdp_md *ctx)
{
	return copy_all((u64)bpf_cast_to_kern_ctx(ctx));
}

SEC("xdp.frags")
int xdp_frags_whole(struct xdp_md *ctx)
{
	return copy_all((u64)bpf_cast_to_kern_ctx(ctx));
}

SEC("sk_lookup")
int lookup_whole(void *ctx)
{
	copy_all((u64)bpf_cast_to_kern_ctx(ctx));
	return 1;
}

SEC("flow_dissector")
int flow_whole(struct __sk_buff *ctx)
{
	return copy_all((u64)bpf_cast_to_kern_ctx(ctx));
}

static inline __attribute__((always_inline)) void see_skb(struct sk_buff *k, int n)
{
	struct skb_shared_info *shared = cast(k->head + k->end, struct skb_shared_info);
	struct iphdr *ip = cast(k->head + k->network_header, struct iphdr);

	OUT(n + 0, k->len | (u64)k->data_len << 32);
	OUT(n + 1, k->mark | (u64)k->priority << 32);
	OUT(n + 2, k->vlan_tci | (u64)k->protocol << 16 | (u64)k->mac_header << 32 | (u64)k->network_header << 48);
	OUT(n + 3, k->data - k->head);
	OUT(n + 4, k->dev->ifindex | (u64)k->dev->mtu << 32);
	OUT(n + 5, k->tail);
	OUT(n + 6, ip->saddr | (u64)ip->ttl << 32);
	OUT(n + 7, shared->meta_len | shared->nr_frags << 8 | (u64)shared->gso_size << 16 | (u64)shared->gso_segs << 32);
	bpf_probe_read_kernel(text[0], sizeof(k->dev->name), k->dev->name);
}

SEC("tc")
int skb_changes(struct __sk_buff *ctx)
{
	struct sk_buff *k = bpf_cast_to_kern_ctx(ctx);
	u64 data;

	see_skb(k, 0);
	ctx->mark = in[0];
	ctx->priority = in[1];
	data = in[2];
	OUT(40, bpf_skb_store_bytes(ctx, 26, &data, 4, 0));
	see_skb(k, 8);
	OUT(41, bpf_skb_vlan_push(ctx, 0x81, in[3]));
	see_skb(k, 16);
	OUT(42, bpf_skb_change_tail(ctx, in[4], 0));
	OUT(43, bpf_skb_change_head(ctx, in[5] & 255, 0));
	see_skb(k, 24);
	OUT(44, k->hash);
	OUT(45, !!bpf_get_hash_recalc(ctx) == !!k->hash);
	OUT(46, k == bpf_cast_to_kern_ctx(ctx));
	return 0;
}

static inline __attribute__((always_inline)) void see_xdp(struct xdp_buff *k, int n)
{
	struct skb_shared_info *shared = cast(k->data_hard_start + k->frame_sz - 320, struct skb_shared_info);

	OUT(n + 0, k->data - k->data_hard_start);
	OUT(n + 1, k->data_end - k->data);
	OUT(n + 2, k->data - k->data_meta);
	OUT(n + 3, k->frame_sz | (u64)k->flags << 32);
	OUT(n + 4, k->rxq->dev->ifindex | (u64)k->rxq->queue_index << 32);
	OUT(n + 5, cast(k->data, struct iphdr)->saddr);
	OUT(n + 6, shared->nr_frags | (u64)shared->xdp_frags_size << 32);
	bpf_probe_read_kernel(text[0], 16, k->rxq->dev->name);
}

static inline __attribute__((always_inline)) void change_xdp(struct xdp_md *ctx)
{
	struct xdp_buff *k = bpf_cast_to_kern_ctx(ctx);

	see_xdp(k, 0);
	OUT(40, bpf_xdp_adjust_head(ctx, (int)in[0]));
	see_xdp(k, 8);
	OUT(41, bpf_xdp_adjust_meta(ctx, (int)in[1]));
	see_xdp(k, 16);
	OUT(42, bpf_xdp_adjust_tail(ctx, (int)in[2]));
	see_xdp(k, 24);
}

SEC("xdp")
int xdp_changes(struct xdp_md *ctx)
{
	change_xdp(ctx);
	return 2;
}

SEC("xdp.frags")
int xdp_frags_changes(struct xdp_md *ctx)
{
	change_xdp(ctx);
	return 2;
}

extern int bpf_xdp_pull_data(struct xdp_md *x, u32 len) __ksym;

SEC("xdp.frags")
int xdp_pull(struct xdp_md *ctx)
{
	struct xdp_buff *k = bpf_cast_to_kern_ctx(ctx);
	u8 *data, *end;

	OUT(40, bpf_xdp_adjust_meta(ctx, (int)in[0]));
	OUT(41, bpf_xdp_pull_data(ctx, in[1]));
	see_xdp(k, 0);
	OUT(42, bpf_xdp_adjust_tail(ctx, (int)in[2]));
	see_xdp(k, 8);
	OUT(43, bpf_xdp_pull_data(ctx, in[3]));
	see_xdp(k, 16);
	OUT(44, bpf_xdp_adjust_tail(ctx, (int)in[4]));
	see_xdp(k, 24);
	data = (u8 *)(long)ctx->data;
	end = (u8 *)(long)ctx->data_end;
	if (data + 3600 <= end)
		OUT(45, data[3599]);
	return 2;
}
