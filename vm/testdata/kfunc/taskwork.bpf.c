// SPDX-License-Identifier: Apache-2.0
/* Has work done by the current task. */
#include "kfunc.h"

struct task_struct { int pid; } __attribute__((preserve_access_index));
struct bpf_map { u32 id; } __attribute__((preserve_access_index));
struct bpf_task_work { u64 opaque; } __attribute__((aligned(8)));

extern int bpf_task_work_schedule_signal_impl(struct task_struct *task, struct bpf_task_work *tw, void *map__map,
					      int (*callback)(struct bpf_map *map, void *key, void *value), void *aux__prog) __ksym;
extern int bpf_task_work_schedule_resume_impl(struct task_struct *task, struct bpf_task_work *tw, void *map__map,
					      int (*callback)(struct bpf_map *map, void *key, void *value), void *aux__prog) __ksym;

static struct task_struct *(*const bpf_get_current_task_btf)(void) = (void *)158;

struct value {
	u64 count;
	struct bpf_task_work work;
};

struct {
	__uint(type, 2 /* BPF_MAP_TYPE_ARRAY */);
	__uint(max_entries, 2);
	__type(key, u32);
	__type(value, struct value);
} works SEC(".maps");

/* Counts by the given step. */
static int work(struct bpf_map *map, void *key, void *value)
{
	((struct value *)value)->count += 1 + *(u32 *)key;
	return 0;
}

/* in[0] is which of two, in[1] how, in[2] whether twice. */
SEC("syscall")
int schedule(void *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u32 key = in[0] & 1;
	struct value *v = bpf_map_lookup_elem(&works, &key);

	if (!v)
		return 1;
	if (in[1])
		OUT(0, bpf_task_work_schedule_signal_impl(task, &v->work, &works, work, 0));
	else
		OUT(0, bpf_task_work_schedule_resume_impl(task, &v->work, &works, work, 0));
	if (in[2])
		OUT(1, bpf_task_work_schedule_resume_impl(task, &v->work, &works, work, 0));
	OUT(2, v->count);
	return 0;
}
