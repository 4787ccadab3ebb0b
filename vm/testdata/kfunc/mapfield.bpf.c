// SPDX-License-Identifier: Apache-2.0
/* What programs read of a map through its pointer. */
#include "kfunc.h"

#define __core __attribute__((preserve_access_index))

enum bpf_map_type { BPF_MAP_TYPE_UNSPEC };
struct bpf_map {
	enum bpf_map_type map_type;
	u32 key_size, value_size, max_entries, map_flags, id;
	u64 map_extra;
	char name[16];
} __core;
struct bpf_array { u32 elem_size; } __core;

struct { __uint(type, 2); __type(key, u32); __type(value, u8[12]); __uint(max_entries, 7); } numbers SEC(".maps");
struct { __uint(type, 1); __type(key, u16); __type(value, u64); __uint(max_entries, 9); __uint(map_flags, 1); } words SEC(".maps");
struct inner { __uint(type, 2); __type(key, u32); __type(value, u64); __uint(max_entries, 3); } within SEC(".maps");
struct {
	__uint(type, 12);
	__uint(max_entries, 1);
	__type(key, u32);
	__array(values, struct inner);
} outer SEC(".maps") = { .values = { &within } };

static long (*const bpf_for_each_map_elem)(void *map, void *fn, void *ctx, u64 flags) = (void *)164;

static inline __attribute__((always_inline)) int fields(struct bpf_map *m, long long *to)
{
	to[0] = m->map_type;
	to[1] = m->key_size;
	to[2] = m->value_size;
	to[3] = m->max_entries;
	to[4] = m->map_flags;
	to[5] = m->id != 0;
	to[6] = m->map_extra;
	to[7] = m->name[0] + (m->name[1] << 8);
	return 0;
}

static long each(struct bpf_map *m, u32 *key, u8 *value, long long *sum)
{
	*sum += m->max_entries;
	return 0;
}

SEC("syscall")
int map_fields(void *ctx)
{
	struct bpf_map *m;
	long long sum = 0;
	u32 zero = 0;

	fields((struct bpf_map *)&numbers, &out[0]);
	fields((struct bpf_map *)&words, &out[8]);
	m = bpf_map_lookup_elem(&outer, &zero);
	if (m)
		fields(m, &out[16]);
	OUT(24, ((struct bpf_array *)&numbers)->elem_size);
	bpf_for_each_map_elem(&numbers, each, &sum, 0);
	OUT(25, sum);
	return 0;
}
