// SPDX-License-Identifier: Apache-2.0
/* Pages of an arena, a list in them, and what is not there. */
#include "kfunc.h"

#define __arena __attribute__((address_space(1)))

struct {
	__uint(type, 33 /* BPF_MAP_TYPE_ARENA */);
	__uint(map_flags, 1 << 10 /* BPF_F_MMAPABLE */);
	__uint(max_entries, 16);
} arena SEC(".maps");

extern void __arena *bpf_arena_alloc_pages(void *map, void __arena *addr, u32 page_cnt, int node_id, u64 flags) __ksym;
extern void bpf_arena_free_pages(void *map, void __arena *ptr, u32 page_cnt) __ksym;

struct node {
	struct node __arena *next;
	u64 value;
};

/* User space's address of the list's first node. */
struct node __arena *first;

SEC("syscall")
int build(void *ctx)
{
	struct node __arena *page, *n, *before = 0;
	u32 i;

	page = bpf_arena_alloc_pages(&arena, 0, 1, -1, 0);
	if (!page)
		return 1;
	for (i = 0; i < in[0] && i < 100; i++) {
		n = page + i;
		n->value = i * i;
		n->next = before;
		before = n;
	}
	first = before;
	return 0;
}

SEC("syscall")
int sum(void *ctx)
{
	struct node __arena *n;
	u64 total = 0;
	u32 i = 0;

	__asm__ volatile("" ::"r"(&arena)); /* a cast is of the arena that a program refers to */
	for (n = first; n && i < 200; n = n->next, i++)
		total += n->value;
	OUT(0, total);
	OUT(1, i);
	return 0;
}

SEC("syscall")
int nowhere(void *ctx)
{
	volatile u64 __arena *p = (volatile u64 __arena *)bpf_arena_alloc_pages(&arena, 0, 2, -1, 0);
	volatile u64 __arena *null = (volatile u64 __arena *)in[1];

	if (!p)
		return 1;
	p[0] = 7;
	OUT(0, p[0]);
	bpf_arena_free_pages(&arena, (void __arena *)p, 1);
	OUT(1, p[0]);
	p[0] = 8; /* dropped */
	OUT(2, p[0]);
	p[512] = 9;
	OUT(3, p[512]);
	OUT(4, __sync_fetch_and_add(&p[512], 1));
	OUT(5, p[512]);
	null[3] = 5;
	OUT(6, null[3]);
	return 0;
}
