// SPDX-License-Identifier: Apache-2.0
/* A cipher that one program makes and another one uses. */
#include "kfunc.h"

struct bpf_crypto_ctx { u32 siv_len; } __attribute__((preserve_access_index));
struct bpf_crypto_params {
	char type[14];
	u8 reserved[2];
	char algo[128];
	u8 key[256];
	u32 key_len;
	u32 authsize;
};
struct __sk_buff { u32 len; };

extern struct bpf_crypto_ctx *bpf_crypto_ctx_create(const struct bpf_crypto_params *params, u32 params__sz, int *err) __ksym;
extern struct bpf_crypto_ctx *bpf_crypto_ctx_acquire(struct bpf_crypto_ctx *ctx) __ksym;
extern void bpf_crypto_ctx_release(struct bpf_crypto_ctx *ctx) __ksym;
extern int bpf_crypto_encrypt(struct bpf_crypto_ctx *ctx, const struct bpf_dynptr *src, const struct bpf_dynptr *dst,
			      const struct bpf_dynptr *siv__nullable) __ksym;
extern int bpf_crypto_decrypt(struct bpf_crypto_ctx *ctx, const struct bpf_dynptr *src, const struct bpf_dynptr *dst,
			      const struct bpf_dynptr *siv__nullable) __ksym;

static long (*const bpf_dynptr_from_mem)(void *data, u32 size, u64 flags, struct bpf_dynptr *ptr) = (void *)197;
static void *(*const bpf_kptr_xchg)(void *dst, void *ptr) = (void *)194;

struct value {
	struct bpf_crypto_ctx __tag(kptr) *ctx;
};

struct {
	__uint(type, 2 /* BPF_MAP_TYPE_ARRAY */);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct value);
} ciphers SEC(".maps");

struct bpf_crypto_params params;
u8 vector[32];

/* Makes a cipher of params, of which in[0] bytes are given, and keeps it. */
SEC("syscall")
int create(void *ctx)
{
	struct bpf_crypto_ctx *c, *more;
	u32 size = in[0], key = 0;
	struct value *v;
	int err = 0;

	if (size > sizeof(params))
		return 1;
	c = bpf_crypto_ctx_create(&params, size, &err);
	OUT(0, err);
	if (!c)
		return 2;
	more = bpf_crypto_ctx_acquire(c);
	if (more)
		bpf_crypto_ctx_release(more);
	v = bpf_map_lookup_elem(&ciphers, &key);
	if (!v) {
		bpf_crypto_ctx_release(c);
		return 3;
	}
	c = bpf_kptr_xchg(&v->ctx, c);
	if (c)
		bpf_crypto_ctx_release(c);
	return 0;
}

/* Encrypts or, with in[3], decrypts in[0] bytes into in[1] with a vector of in[2] bytes. */
SEC("tc")
int crypt(struct __sk_buff *skb)
{
	u32 from = in[0], to = in[1], siv = in[2], key = 0;
	struct value *v = bpf_map_lookup_elem(&ciphers, &key);
	struct bpf_dynptr src, dst, iv;
	struct bpf_crypto_ctx *c;

	if (!v || from > 64 || to > 64 || siv > 32)
		return 1;
	c = v->ctx;
	if (!c)
		return 2;
	bpf_dynptr_from_mem(text[0], from, 0, &src);
	bpf_dynptr_from_mem(text[1], to, 0, &dst);
	bpf_dynptr_from_mem(vector, siv, 0, &iv);
	if (in[3])
		OUT(0, bpf_crypto_decrypt(c, &src, &dst, siv ? &iv : 0));
	else
		OUT(0, bpf_crypto_encrypt(c, &src, &dst, siv ? &iv : 0));
	OUT(1, *(u64 *)vector);
	OUT(2, *(u64 *)(vector + 8));
	return 0;
}
