// SPDX-License-Identifier: Apache-2.0
/* One operation on a workqueue: in[0] says which, in[1] is its flags. */
#include "kfunc.h"

struct bpf_wq { u64 opaque[2]; } __attribute__((aligned(8)));

extern int bpf_wq_init(struct bpf_wq *wq, void *map, unsigned int flags) __ksym;
extern int bpf_wq_set_callback_impl(struct bpf_wq *wq, int (*callback)(void *map, int *key, void *value),
				    unsigned int flags, void *aux) __ksym;
extern int bpf_wq_start(struct bpf_wq *wq, unsigned int flags) __ksym;

struct value {
	u64 count;
	struct bpf_wq work;
};

struct {
	__uint(type, 2 /* BPF_MAP_TYPE_ARRAY */);
	__uint(max_entries, 2);
	__type(key, int);
	__type(value, struct value);
} works SEC(".maps");

/* What is queued counts by the given step. */
static int work(void *map, int *key, void *value)
{
	((struct value *)value)->count += 1 + *key;
	return 0;
}

SEC("tc")
int queue(void *ctx)
{
	int key = in[2] & 1;
	struct value *v = bpf_map_lookup_elem(&works, &key);

	if (!v)
		return 1;
	if (in[0] == 0)
		OUT(0, bpf_wq_init(&v->work, &works, in[1]));
	else if (in[0] == 1)
		OUT(0, bpf_wq_set_callback_impl(&v->work, work, in[1], 0));
	else
		OUT(0, bpf_wq_start(&v->work, in[1]));
	return 0;
}
