// SPDX-License-Identifier: Apache-2.0
/* The bytes of a packet that a netfilter hook judges. */
#include "kfunc.h"

struct __sk_buff { u32 len; };
struct sk_buff;
struct nf_hook_state;

struct bpf_nf_ctx {
	const struct nf_hook_state *state;
	struct sk_buff *skb;
} __attribute__((preserve_access_index));

extern int bpf_dynptr_from_skb(struct __sk_buff *s, u64 flags, struct bpf_dynptr *ptr) __ksym;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *p, u32 offset, void *buffer, u32 size) __ksym;
extern int bpf_dynptr_adjust(const struct bpf_dynptr *p, u32 start, u32 end) __ksym;
extern bool bpf_dynptr_is_rdonly(const struct bpf_dynptr *p) __ksym;
extern u32 bpf_dynptr_size(const struct bpf_dynptr *p) __ksym;
static long (*const bpf_dynptr_read)(void *dst, u32 len, const struct bpf_dynptr *src, u32 offset, u64 flags) = (void *)201;
static long (*const bpf_dynptr_write)(const struct bpf_dynptr *dst, u32 offset, void *src, u32 len, u64 flags) = (void *)202;

SEC("netfilter")
int judge(struct bpf_nf_ctx *ctx)
{
	struct bpf_dynptr packet;
	u8 buf[16] = {}, *bytes;

	OUT(0, bpf_dynptr_from_skb((struct __sk_buff *)ctx->skb, in[0], &packet));
	OUT(1, bpf_dynptr_size(&packet));
	OUT(2, bpf_dynptr_is_rdonly(&packet));
	OUT(3, bpf_dynptr_read(buf, sizeof(buf), &packet, in[1], 0));
	OUT(4, *(u64 *)buf);
	OUT(5, *(u64 *)(buf + 8));
	OUT(6, bpf_dynptr_write(&packet, in[1], buf, 4, 0));
	OUT(7, bpf_dynptr_adjust(&packet, in[2], in[3]));
	OUT(8, bpf_dynptr_size(&packet));
	bytes = bpf_dynptr_slice(&packet, in[1], buf, 5);
	OUT(9, bytes ? bytes[4] : -1);
	return bytes && bytes[0] & 1;
}
