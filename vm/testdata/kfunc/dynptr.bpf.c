// SPDX-License-Identifier: Apache-2.0
/* Every helper and kernel function on dynptrs, with the given arguments. */
#include "kfunc.h"

struct __sk_buff { u32 len; };
struct xdp_md { u32 data; };
extern int bpf_dynptr_from_skb(struct __sk_buff *s, u64 flags, struct bpf_dynptr *ptr) __ksym;
extern int bpf_dynptr_from_skb_meta(struct __sk_buff *s, u64 flags, struct bpf_dynptr *ptr) __ksym;
extern int bpf_dynptr_from_xdp(struct xdp_md *x, u64 flags, struct bpf_dynptr *ptr) __ksym;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *p, u32 offset, void *buffer, u32 size) __ksym;
extern void *bpf_dynptr_slice_rdwr(const struct bpf_dynptr *p, u32 offset, void *buffer, u32 size) __ksym;
extern int bpf_dynptr_adjust(const struct bpf_dynptr *p, u32 start, u32 end) __ksym;
extern bool bpf_dynptr_is_null(const struct bpf_dynptr *p) __ksym;
extern bool bpf_dynptr_is_rdonly(const struct bpf_dynptr *p) __ksym;
extern u32 bpf_dynptr_size(const struct bpf_dynptr *p) __ksym;
extern int bpf_dynptr_clone(const struct bpf_dynptr *p, struct bpf_dynptr *clone) __ksym;
extern int bpf_dynptr_copy(struct bpf_dynptr *dst, u32 dst_off, struct bpf_dynptr *src, u32 src_off, u32 size) __ksym;
extern int bpf_dynptr_memset(struct bpf_dynptr *p, u32 offset, u32 size, u8 val) __ksym;

static long (*const bpf_dynptr_from_mem)(void *data, u32 size, u64 flags, struct bpf_dynptr *ptr) = (void *)197;
static long (*const bpf_ringbuf_reserve_dynptr)(void *ringbuf, u32 size, u64 flags, struct bpf_dynptr *ptr) = (void *)198;
static void (*const bpf_ringbuf_submit_dynptr)(struct bpf_dynptr *ptr, u64 flags) = (void *)199;
static void (*const bpf_ringbuf_discard_dynptr)(struct bpf_dynptr *ptr, u64 flags) = (void *)200;
static long (*const bpf_dynptr_read)(void *dst, u32 len, const struct bpf_dynptr *src, u32 offset, u64 flags) = (void *)201;
static long (*const bpf_dynptr_write)(const struct bpf_dynptr *dst, u32 offset, void *src, u32 len, u64 flags) = (void *)202;
static void *(*const bpf_dynptr_data)(const struct bpf_dynptr *ptr, u32 offset, u32 len) = (void *)203;

struct {
	__uint(type, 27 /* BPF_MAP_TYPE_RINGBUF */);
	__uint(max_entries, 4096);
} ring SEC(".maps");

/* What can be done with any dynptr; mem is another one. */
static __attribute__((always_inline)) void use(struct bpf_dynptr *p, struct bpf_dynptr *mem)
{
	u32 off = in[0], len = in[1], start = in[2], end = in[3];
	u64 flags = in[4];
	u8 buf[16] = {}, *bytes;
	struct bpf_dynptr clone;

	OUT(0, bpf_dynptr_size(p));
	OUT(1, bpf_dynptr_is_null(p));
	OUT(2, bpf_dynptr_is_rdonly(p));
	OUT(3, bpf_dynptr_read(buf, sizeof(buf), p, off, 0));
	OUT(4, *(u64 *)buf);
	OUT(5, bpf_dynptr_read(buf, 3, p, off, flags));
	OUT(6, bpf_dynptr_write(p, off, text[1], sizeof(buf), flags));
	bytes = bpf_dynptr_slice(p, off, buf, sizeof(buf));
	OUT(7, bytes ? bytes[5] : -1);
	bytes = bpf_dynptr_slice_rdwr(p, off, buf, sizeof(buf));
	if (bytes) {
		OUT(8, bytes[0]);
		bytes[1] = 0x77;
	}
	bytes = bpf_dynptr_data(p, off, 4);
	if (bytes) {
		OUT(9, bytes[3]);
		bytes[2] = 0x55;
	}
	OUT(10, bpf_dynptr_clone(p, &clone));
	OUT(11, bpf_dynptr_adjust(p, start, end));
	OUT(12, bpf_dynptr_size(p));
	OUT(13, bpf_dynptr_size(&clone));
	OUT(14, bpf_dynptr_read(buf, 8, p, off, 0));
	OUT(15, *(u64 *)buf);
	OUT(16, bpf_dynptr_copy(mem, off, p, start, len));
	OUT(17, bpf_dynptr_copy(p, start, mem, off, len));
	OUT(18, bpf_dynptr_copy(&clone, start, p, off, len));
	OUT(19, bpf_dynptr_memset(p, off, len, in[5]));
	OUT(20, bpf_dynptr_memset(&clone, end, 300, in[5]));
	OUT(21, bpf_dynptr_adjust(&clone, end, start));
	OUT(22, bpf_dynptr_read(buf, sizeof(buf), &clone, 0, 0));
	OUT(23, *(u64 *)buf);
}

SEC("tc")
int dynptr_skb(struct __sk_buff *skb)
{
	struct bpf_dynptr p, mem;

	OUT(40, bpf_dynptr_from_mem(text, sizeof(text), 0, &mem));
	OUT(41, bpf_dynptr_from_skb(skb, in[6], &p));
	use(&p, &mem);
	return 0;
}

SEC("tc")
int dynptr_meta(struct __sk_buff *skb)
{
	struct bpf_dynptr p, mem;

	OUT(40, bpf_dynptr_from_mem(text, sizeof(text), 0, &mem));
	OUT(41, bpf_dynptr_from_skb_meta(skb, in[6], &p));
	use(&p, &mem);
	return 0;
}

SEC("xdp")
int dynptr_xdp(struct xdp_md *xdp)
{
	struct bpf_dynptr p, mem;

	OUT(40, bpf_dynptr_from_mem(text, sizeof(text), 0, &mem));
	OUT(41, bpf_dynptr_from_xdp(xdp, in[6], &p));
	use(&p, &mem);
	return 2;
}

SEC("tc")
int dynptr_mem(struct __sk_buff *skb)
{
	struct bpf_dynptr p, mem;

	OUT(40, bpf_dynptr_from_mem(text, sizeof(text), in[6], &p));
	OUT(41, bpf_dynptr_from_mem(out, sizeof(out), 0, &mem));
	use(&p, &mem);
	return 0;
}

SEC("tc")
int dynptr_ringbuf(struct __sk_buff *skb)
{
	struct bpf_dynptr p, mem;

	OUT(40, bpf_dynptr_from_mem(text, sizeof(text), 0, &mem));
	OUT(41, bpf_ringbuf_reserve_dynptr(&ring, (u32)in[7], in[6], &p));
	OUT(42, bpf_dynptr_memset(&p, 0, bpf_dynptr_size(&p), 1));
	use(&p, &mem);
	if (in[5] & 1)
		bpf_ringbuf_submit_dynptr(&p, 1 /* BPF_RB_NO_WAKEUP */);
	else
		bpf_ringbuf_discard_dynptr(&p, 1);
	return 0;
}
