// SPDX-License-Identifier: Apache-2.0
/* Connections that netfilter tracks. */
#include "kfunc.h"

#define __core __attribute__((preserve_access_index))

struct xdp_md { u32 data; };
struct __sk_buff { u32 len; };
struct bpf_sock_tuple { u8 bytes[36]; };
struct bpf_ct_opts { int netns_id; int error; u8 l4proto; u8 dir; u16 ct_zone_id; u8 ct_zone_dir; u8 reserved[3]; };
union nf_inet_addr { u32 all[4]; };
enum nf_nat_manip_type { MANIP_SRC };

union nf_conntrack_man_proto { u16 all; } __core;
struct nf_conntrack_man { union nf_inet_addr u3; union nf_conntrack_man_proto u; u16 l3num; } __core;
struct nf_conntrack_tuple {
	struct nf_conntrack_man src;
	struct { union nf_inet_addr u3; union { u16 all; } u; u8 protonum; u8 dir; } dst;
} __core;
struct nf_conntrack_tuple_hash { struct nf_conntrack_tuple tuple; } __core;
struct nf_conntrack_zone { u16 id; u8 flags; u8 dir; } __core;
struct nf_conn {
	u32 timeout;
	struct nf_conntrack_zone zone;
	struct nf_conntrack_tuple_hash tuplehash[2];
	unsigned long status;
	u32 mark;
} __core;
struct nf_conn___init { u32 timeout; } __core;

extern struct nf_conn *bpf_xdp_ct_lookup(struct xdp_md *ctx, struct bpf_sock_tuple *tuple, u32 tuple__sz, struct bpf_ct_opts *opts, u32 opts__sz) __ksym;
extern struct nf_conn *bpf_skb_ct_lookup(struct __sk_buff *ctx, struct bpf_sock_tuple *tuple, u32 tuple__sz, struct bpf_ct_opts *opts, u32 opts__sz) __ksym;
extern struct nf_conn___init *bpf_xdp_ct_alloc(struct xdp_md *ctx, struct bpf_sock_tuple *tuple, u32 tuple__sz, struct bpf_ct_opts *opts, u32 opts__sz) __ksym;
extern struct nf_conn___init *bpf_skb_ct_alloc(struct __sk_buff *ctx, struct bpf_sock_tuple *tuple, u32 tuple__sz, struct bpf_ct_opts *opts, u32 opts__sz) __ksym;
extern struct nf_conn *bpf_ct_insert_entry(struct nf_conn___init *nfct) __ksym;
extern void bpf_ct_release(struct nf_conn *nfct) __ksym;
extern void bpf_ct_set_timeout(struct nf_conn___init *nfct, u32 timeout) __ksym;
extern int bpf_ct_change_timeout(struct nf_conn *nfct, u32 timeout) __ksym;
extern int bpf_ct_set_status(const struct nf_conn___init *nfct, u32 status) __ksym;
extern int bpf_ct_change_status(struct nf_conn *nfct, u32 status) __ksym;
extern int bpf_ct_set_nat_info(struct nf_conn___init *nfct, union nf_inet_addr *addr, int port, enum nf_nat_manip_type manip) __ksym;

static u64 (*const bpf_jiffies64)(void) = (void *)118;

/*
 * text: a tuple, and options with an address behind them. in: sizes of the two, what
 * is set before the connection is inserted (a timeout, a status, a port and above it
 * bits for the address to change: source, destination, neither; a mark), and changed then (a timeout, a status).
 */
static void read_tuple(int at, struct nf_conn *ct, int dir)
{
	struct nf_conntrack_tuple *t = dir ? &ct->tuplehash[1].tuple : &ct->tuplehash[0].tuple;

	OUT(at, t->src.u3.all[0]);
	OUT(at + 1, t->src.u3.all[3]);
	OUT(at + 2, t->src.u.all << 16 | t->src.l3num);
	OUT(at + 3, t->dst.u3.all[0]);
	OUT(at + 4, t->dst.u3.all[3]);
	OUT(at + 5, (u64)t->dst.u.all << 16 | t->dst.protonum << 8 | t->dst.dir);
}

static void read(int at, struct nf_conn *ct)
{
	OUT(at, ct->status);
	OUT(at + 1, ct->mark);
	OUT(at + 2, (int)(ct->timeout - (u32)bpf_jiffies64()));
	OUT(at + 3, ct->zone.id << 8 | ct->zone.dir);
	read_tuple(at + 4, ct, 0);
	read_tuple(at + 10, ct, 1);
}

#define TEST(name, context, lookup, alloc)                                                \
SEC(#name) int name##_lookup(struct context *ctx)                                         \
{                                                                                         \
	struct bpf_ct_opts *opts = (void *)text[1];                                       \
	u32 tuple_size = in[0] & 63, opts_size = in[1] & 31;                              \
	struct nf_conn *ct = lookup(ctx, (void *)text[0], tuple_size, opts, opts_size);   \
                                                                                          \
	OUT(0, ct != 0);                                                                  \
	if (ct) {                                                                         \
		read(8, ct);                                                              \
		bpf_ct_release(ct);                                                       \
	}                                                                                 \
	return 0;                                                                         \
}                                                                                         \
                                                                                          \
SEC(#name) int name##_insert(struct context *ctx)                                         \
{                                                                                         \
	struct bpf_ct_opts *opts = (void *)text[1];                                       \
	u32 tuple_size = in[0] & 63, opts_size = in[1] & 31;                              \
	struct nf_conn___init *nf;                                                        \
	struct nf_conn *ct;                                                               \
                                                                                          \
	nf = alloc(ctx, (void *)text[0], tuple_size, opts, opts_size);                    \
	OUT(0, nf != 0);                                                                  \
	if (!nf)                                                                          \
		return 0;                                                                 \
	if (in[2])                                                                        \
		bpf_ct_set_timeout(nf, in[2]);                                            \
	OUT(1, bpf_ct_set_status(nf, in[3]));                                             \
	if (in[4] >> 32 & 1)                                                              \
		OUT(2, bpf_ct_set_nat_info(nf, (void *)(text[1] + 32), in[4], 0));        \
	if (in[4] >> 32 & 2)                                                              \
		OUT(3, bpf_ct_set_nat_info(nf, (void *)(text[1] + 48), in[4], 1));        \
	if (in[4] >> 32 & 4)                                                              \
		OUT(7, bpf_ct_set_nat_info(nf, (void *)(text[1] + 48), in[4], 2));        \
	ct = bpf_ct_insert_entry(nf);                                                     \
	OUT(4, ct != 0);                                                                  \
	if (!ct)                                                                          \
		return 0;                                                                 \
	ct->mark = in[5];                                                                 \
	read(8, ct);                                                                      \
	if (in[6])                                                                        \
		OUT(5, bpf_ct_change_timeout(ct, in[6]));                                 \
	OUT(6, bpf_ct_change_status(ct, in[7]));                                          \
	read(32, ct);                                                                     \
	bpf_ct_release(ct);                                                               \
	return 0;                                                                         \
}

TEST(xdp, xdp_md, bpf_xdp_ct_lookup, bpf_xdp_ct_alloc)
TEST(tc, __sk_buff, bpf_skb_ct_lookup, bpf_skb_ct_alloc)
