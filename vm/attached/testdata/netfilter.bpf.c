// SPDX-License-Identifier: Apache-2.0
/* What a program at a hook of netfilter sees of a packet; in[0] is its verdict. */
#include "attached.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct net_device {
	int ifindex;
};

struct nf_hook_state {
	u8 hook;
	u8 pf;
	struct net_device *in;
	struct net_device *out;
};

struct sk_buff {
	u32 len;
	u32 mark;
	u32 priority;
};

struct bpf_nf_ctx {
	const struct nf_hook_state *state;
	struct sk_buff *skb;
};

#pragma clang attribute pop

struct __sk_buff { u32 len; };

extern int bpf_dynptr_from_skb(struct __sk_buff *s, u64 flags, struct bpf_dynptr *ptr) __ksym;
extern u32 bpf_dynptr_size(const struct bpf_dynptr *p) __ksym;
extern bool bpf_dynptr_is_rdonly(const struct bpf_dynptr *p) __ksym;
static long (*const bpf_dynptr_read)(void *dst, u32 len, const struct bpf_dynptr *src, u32 offset, u64 flags) = (void *)201;

SEC("netfilter")
int filter(struct bpf_nf_ctx *ctx)
{
	const struct nf_hook_state *state = ctx->state;
	struct sk_buff *skb = ctx->skb;
	struct bpf_dynptr packet;

	OUT(0, state->hook);
	OUT(1, state->pf);
	OUT(2, state->in ? state->in->ifindex : -1);
	OUT(3, state->out ? state->out->ifindex : -1);
	OUT(4, skb->len);
	OUT(5, skb->mark);
	OUT(6, skb->priority);
	OUT(7, bpf_dynptr_from_skb((struct __sk_buff *)skb, 0, &packet));
	OUT(8, bpf_dynptr_size(&packet));
	OUT(9, bpf_dynptr_is_rdonly(&packet));
	OUT(10, bpf_dynptr_read(text[0], 40, &packet, 0, 0));
	OUT(11, bpf_dynptr_read(text[1], 12, &packet, 28, 0));
	OUT(12, bpf_dynptr_read(text[1] + 16, 16, &packet, 30, 0));
	COUNT();
	return in[0] & 1;
}
