// SPDX-License-Identifier: Apache-2.0
/* Programs that Linux refuses, and that checked mode ends with a fault. */
#include "kfunc.h"

struct bpf_list_head { u64 opaque[2]; } __attribute__((aligned(8)));
struct bpf_list_node { u64 opaque[3]; } __attribute__((aligned(8)));
struct bpf_iter_num { u64 opaque[1]; } __attribute__((aligned(8)));

extern void *bpf_obj_new_impl(u64 type, void *meta) __ksym;
extern void bpf_obj_drop_impl(void *p, void *meta) __ksym;
extern int bpf_list_push_back_impl(struct bpf_list_head *head, struct bpf_list_node *node, void *meta, u64 off) __ksym;
extern u32 bpf_dynptr_size(const struct bpf_dynptr *p) __ksym;
extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym;
extern void bpf_no_such_function(void) __ksym;
extern void *bpf_cast_to_kern_ctx(void *obj) __ksym;
static long (*const bpf_dynptr_from_mem)(void *data, u32 size, u64 flags, struct bpf_dynptr *ptr) = (void *)197;
static long (*const bpf_ringbuf_reserve_dynptr)(void *ringbuf, u32 size, u64 flags, struct bpf_dynptr *ptr) = (void *)198;
static void (*const bpf_ringbuf_discard_dynptr)(struct bpf_dynptr *ptr, u64 flags) = (void *)200;

struct item {
	u64 key;
	struct bpf_list_node list;
};

#define new_item() ((struct item *)bpf_obj_new_impl(__builtin_btf_type_id(*(struct item *)0, 0), 0))
#define drop(p) bpf_obj_drop_impl(p, 0)

private(A) struct bpf_spin_lock lock;
private(A) struct bpf_list_head head __decl("contains:item:list");

struct {
	__uint(type, 27 /* BPF_MAP_TYPE_RINGBUF */);
	__uint(max_entries, 4096);
} ring SEC(".maps");

SEC("tc") int leak(void *ctx)
{
	return new_item() == 0;
}

SEC("tc") int drop_twice(void *ctx)
{
	struct item *n = new_item();

	drop(n);
	drop(n);
	return 0;
}

SEC("tc") int drop_inside(void *ctx)
{
	struct item *n = new_item();

	drop(&n->list);
	return 0;
}

SEC("tc") int use_dropped(void *ctx)
{
	struct item *n = new_item();

	drop(n);
	return n->key;
}

SEC("tc") int beyond(void *ctx)
{
	struct item *n = new_item();

	return ((u64 *)n)[4];
}

SEC("tc") int touch_node(void *ctx)
{
	struct item *n = new_item();

	n->list.opaque[0] = 1;
	return 0;
}

SEC("tc") int touch_head(void *ctx)
{
	head.opaque[1] = 1;
	return 0;
}

SEC("tc") int push_not_owned(void *ctx)
{
	struct item *n = new_item();

	bpf_list_push_back_impl(&head, &n->list, 0, 0);
	bpf_list_push_back_impl(&head, &n->list, 0, 0);
	return 0;
}

SEC("tc") int push_elsewhere(void *ctx)
{
	struct item *n = new_item();

	bpf_list_push_back_impl((void *)&out, &n->list, 0, 0);
	return 0;
}

SEC("tc") int no_dynptr(void *ctx)
{
	struct bpf_dynptr p = {};

	return bpf_dynptr_size(&p);
}

SEC("tc") int overwritten_dynptr(void *ctx)
{
	struct bpf_dynptr p;

	bpf_dynptr_from_mem(out, sizeof(out), 0, &p);
	*(volatile u32 *)&p = 0;
	return bpf_dynptr_size(&p);
}

SEC("tc") int copied_dynptr(void *ctx)
{
	struct bpf_dynptr p, q;

	bpf_dynptr_from_mem(out, sizeof(out), 0, &p);
	q = p;
	return bpf_dynptr_size(&q);
}

SEC("tc") int reserved_dynptr(void *ctx)
{
	struct bpf_dynptr p;

	return bpf_ringbuf_reserve_dynptr(&ring, 8, 0, &p);
}

SEC("tc") int discarded_dynptr(void *ctx)
{
	struct bpf_dynptr p;

	bpf_ringbuf_reserve_dynptr(&ring, 8, 0, &p);
	bpf_ringbuf_discard_dynptr(&p, 0);
	bpf_ringbuf_discard_dynptr(&p, 0);
	return 0;
}

SEC("tc") int iterator_left(void *ctx)
{
	struct bpf_iter_num it;

	return bpf_iter_num_new(&it, 0, 3);
}

SEC("tc") int iterator_destroyed(void *ctx)
{
	struct bpf_iter_num it;

	bpf_iter_num_new(&it, 0, 3);
	bpf_iter_num_destroy(&it);
	return bpf_iter_num_next(&it) != 0;
}

SEC("tc") int unknown_function(void *ctx)
{
	bpf_no_such_function();
	return 0;
}

SEC("tc") int kernel_context(void *ctx)
{
	u32 *k = bpf_cast_to_kern_ctx(ctx);

	*k = 1;
	return 0;
}
