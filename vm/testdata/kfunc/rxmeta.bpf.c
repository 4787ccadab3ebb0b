// SPDX-License-Identifier: Apache-2.0
/*
 * What a driver knows of a packet that came in, at both ends of a pair of interfaces: a
 * frame's last byte of its destination says how it gets from one to the other. Metadata
 * that XDP writes is read by traffic control.
 */
#include "kfunc.h"

struct __sk_buff { u32 len; };
struct xdp_md { u32 data, data_end, data_meta; };
enum xdp_rss_hash_type { XDP_RSS_TYPE_NONE = 0, XDP_RSS_TYPE_L4_ANY = 8 };

extern int bpf_xdp_metadata_rx_timestamp(const struct xdp_md *ctx, u64 *timestamp) __ksym;
extern int bpf_xdp_metadata_rx_hash(const struct xdp_md *ctx, u32 *hash, enum xdp_rss_hash_type *rss_type) __ksym;
extern int bpf_xdp_metadata_rx_vlan_tag(const struct xdp_md *ctx, u16 *vlan_proto, u16 *vlan_tci) __ksym;
extern int bpf_dynptr_from_skb_meta(struct __sk_buff *s, u64 flags, struct bpf_dynptr *ptr) __ksym;
extern u32 bpf_dynptr_size(const struct bpf_dynptr *p) __ksym;

static long (*const bpf_skb_vlan_push)(void *ctx, u16 proto, u16 tci) = (void *)18;
static long (*const bpf_redirect)(u32 ifindex, u64 flags) = (void *)23;
static long (*const bpf_skb_load_bytes)(const void *ctx, u32 off, void *to, u32 len) = (void *)26;
static u32 (*const bpf_get_hash_recalc)(void *ctx) = (void *)34;
static long (*const bpf_xdp_adjust_meta)(void *ctx, int by) = (void *)54;
static long (*const bpf_dynptr_read)(void *dst, u32 len, const struct bpf_dynptr *src, u32 offset, u64 flags) = (void *)201;
static long (*const bpf_dynptr_write)(const struct bpf_dynptr *dst, u32 offset, void *src, u32 len, u64 flags) = (void *)202;

enum { PASS, REDIRECT, TAG };

/* By program and by how the frame goes. */
struct seen {
	long long timestamp_ret, timestamp, hash_ret, hash, type, vlan_ret, vlan;
	long long size, read, value, written, again, same;
} seen[2][4];
u32 hashes[4];

static __noinline int look(struct xdp_md *ctx, u32 n, u32 way)
{
	struct seen *s = &seen[n & 1][way & 3];
	u64 timestamp = 1;
	u32 hash = 0;
	enum xdp_rss_hash_type type = 99;
	u16 proto = 7, tci = 7;

	s->timestamp_ret = bpf_xdp_metadata_rx_timestamp(ctx, &timestamp);
	s->timestamp = timestamp;
	s->hash_ret = bpf_xdp_metadata_rx_hash(ctx, &hash, &type);
	s->hash = !!hash;
	s->type = type;
	s->vlan_ret = bpf_xdp_metadata_rx_vlan_tag(ctx, &proto, &tci);
	s->vlan = proto | tci << 16;
	if (n)
		hashes[way & 3] = hash;
	return 0;
}

static inline __attribute__((always_inline)) u32 way_of(struct xdp_md *ctx)
{
	u8 *data = (u8 *)(long)ctx->data, *end = (u8 *)(long)ctx->data_end;

	return data + 6 <= end ? data[5] : 0;
}

SEC("xdp")
int first(struct xdp_md *ctx)
{
	u32 way = way_of(ctx);

	look(ctx, 0, way);
	return way == REDIRECT ? bpf_redirect(11, 0) : 2;
}

SEC("tcx/ingress")
int across(struct __sk_buff *ctx)
{
	u8 way = 0;

	bpf_skb_load_bytes(ctx, 5, &way, 1);
	if (way == TAG)
		bpf_skb_vlan_push(ctx, 0x81, 0x123);
	return bpf_redirect(11, 0);
}

SEC("xdp")
int second(struct xdp_md *ctx)
{
	u32 way = way_of(ctx);
	u64 *meta;

	look(ctx, 1, way);
	if (bpf_xdp_adjust_meta(ctx, -16))
		return 0;
	meta = (u64 *)(long)ctx->data_meta;
	if ((void *)(meta + 2) > (void *)(long)ctx->data)
		return 0;
	meta[0] = 0x1122334455667788;
	meta[1] = way;
	return 2;
}

SEC("tcx/ingress")
int last(struct __sk_buff *ctx)
{
	struct bpf_dynptr meta;
	u64 value = 0, other = 42;
	struct seen *s;
	u8 way = 0;

	bpf_skb_load_bytes(ctx, 5, &way, 1);
	s = &seen[1][way & 3];
	bpf_dynptr_from_skb_meta(ctx, 0, &meta);
	s->size = bpf_dynptr_size(&meta);
	s->read = bpf_dynptr_read(&value, 8, &meta, 8, 0);
	s->value = value;
	s->written = bpf_dynptr_write(&meta, 4, &other, 8, 0);
	bpf_dynptr_read(&value, 8, &meta, 4, 0);
	s->again = value;
	s->same = !hashes[way & 3] || bpf_get_hash_recalc(ctx) == hashes[way & 3];
	return 0;
}
