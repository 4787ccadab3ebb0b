// SPDX-License-Identifier: Apache-2.0
/* Functions on tasks, and on maps and timers, with the given arguments. */
#include "kfunc.h"

struct task_struct { int pid; } __attribute__((preserve_access_index));
enum pid_type { PIDTYPE_PID, PIDTYPE_TGID, PIDTYPE_PGID, PIDTYPE_SID, PIDTYPE_MAX };
struct bpf_map { u32 id; } __attribute__((preserve_access_index));
extern struct task_struct *bpf_task_from_vpid(int vpid) __ksym;
extern void bpf_task_release(struct task_struct *p) __ksym;
extern int bpf_send_signal_task(struct task_struct *task, int sig, enum pid_type type, u64 value) __ksym;
extern long long bpf_map_sum_elem_count(const struct bpf_map *map) __ksym;

static long (*const bpf_map_update_elem)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*const bpf_map_delete_elem)(void *map, const void *key) = (void *)3;
static u64 (*const bpf_get_current_pid_tgid)(void) = (void *)14;
static struct task_struct *(*const bpf_get_current_task_btf)(void) = (void *)158;

/* in[0] is a signal, which must not be one, in[1] says whom to send it to. */
SEC("syscall")
int signals(void *ctx)
{
	struct task_struct *task;
	int signal = in[0];

	if (signal > 0 && signal <= 64)
		return 1;
	OUT(0, bpf_send_signal_task(bpf_get_current_task_btf(), signal, in[1], in[2]));
	task = bpf_task_from_vpid(in[3] ? in[3] : bpf_get_current_pid_tgid() & 0xffffffff);
	OUT(1, !!task);
	if (task)
		bpf_task_release(task);
	return 0;
}

#define MAP(name, kind, size) struct { \
	__uint(type, kind); \
	__uint(max_entries, size); \
	__type(key, u32); \
	__type(value, u64); \
} name SEC(".maps")

MAP(hash, 1 /* BPF_MAP_TYPE_HASH */, 64);
MAP(percpu, 5 /* BPF_MAP_TYPE_PERCPU_HASH */, 64);
MAP(lru, 9 /* BPF_MAP_TYPE_LRU_HASH */, 1024);
MAP(array, 2 /* BPF_MAP_TYPE_ARRAY */, 64);

#define COUNT(at, map) ({ \
	if (in[1] & 1) bpf_map_update_elem(&map, &key, &value, 0); else bpf_map_delete_elem(&map, &key); \
	OUT(at, bpf_map_sum_elem_count((struct bpf_map *)&map)); \
})

/* in[0] is a key, which in[1] puts into maps or takes out of them. */
SEC("syscall")
int counts(void *ctx)
{
	u64 value = 7;
	u32 key = in[0];

	COUNT(0, hash);
	COUNT(1, percpu);
	COUNT(2, lru);
	COUNT(3, array);
	return 0;
}
