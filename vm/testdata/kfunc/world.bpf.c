// SPDX-License-Identifier: Apache-2.0
/* What programs ask of tasks and cgroups. */
#include "kfunc.h"

#define __core __attribute__((preserve_access_index))

struct cgroup_subsys_state { struct cgroup *cgroup; } __core;
struct cgroup { struct cgroup_subsys_state self; } __core;
struct task_struct { int pid; } __core;
struct vm_area_struct { unsigned long vm_start; } __core;
struct bpf_iter_task { u64 opaque[3]; } __attribute__((aligned(8)));
struct bpf_iter_css { u64 opaque[3]; } __attribute__((aligned(8)));
struct bpf_iter_css_task { u64 opaque[1]; } __attribute__((aligned(8)));
struct bpf_iter_task_vma { u64 opaque[1]; } __attribute__((aligned(8)));

extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
extern struct cgroup *bpf_cgroup_acquire(struct cgroup *cgrp) __ksym;
extern struct cgroup *bpf_cgroup_ancestor(struct cgroup *cgrp, int level) __ksym;
extern struct cgroup *bpf_cgroup_from_id(u64 cgid) __ksym;
extern void bpf_cgroup_release(struct cgroup *cgrp) __ksym;
extern long bpf_task_under_cgroup(struct task_struct *task, struct cgroup *ancestor) __ksym;
extern struct cgroup *bpf_task_get_cgroup1(struct task_struct *task, int hierarchy_id) __ksym;
extern int bpf_cgroup_read_xattr(struct cgroup *cgroup, const char *name__str, struct bpf_dynptr *value_p) __ksym;
extern int bpf_iter_task_new(struct bpf_iter_task *it, struct task_struct *task__nullable, unsigned int flags) __ksym;
extern struct task_struct *bpf_iter_task_next(struct bpf_iter_task *it) __ksym;
extern void bpf_iter_task_destroy(struct bpf_iter_task *it) __ksym;
extern int bpf_iter_css_new(struct bpf_iter_css *it, struct cgroup_subsys_state *start, unsigned int flags) __ksym;
extern struct cgroup_subsys_state *bpf_iter_css_next(struct bpf_iter_css *it) __ksym;
extern void bpf_iter_css_destroy(struct bpf_iter_css *it) __ksym;
extern int bpf_iter_css_task_new(struct bpf_iter_css_task *it, struct cgroup_subsys_state *css, unsigned int flags) __ksym;
extern struct task_struct *bpf_iter_css_task_next(struct bpf_iter_css_task *it) __ksym;
extern void bpf_iter_css_task_destroy(struct bpf_iter_css_task *it) __ksym;
extern int bpf_iter_task_vma_new(struct bpf_iter_task_vma *it, struct task_struct *task, u64 addr) __ksym;
extern struct vm_area_struct *bpf_iter_task_vma_next(struct bpf_iter_task_vma *it) __ksym;
extern void bpf_iter_task_vma_destroy(struct bpf_iter_task_vma *it) __ksym;

static struct task_struct *(*const bpf_get_current_task_btf)(void) = (void *)158;
static long (*const bpf_dynptr_from_mem)(void *data, u32 size, u64 flags, struct bpf_dynptr *ptr) = (void *)197;

const char user_note[] = "user.note", security_note[] = "security.note";

/* in: a cgroup's id, a level, orders of bpf_iter_css and bpf_iter_css_task. */
SEC("syscall")
int cgroups(void *ctx)
{
	struct cgroup *c = bpf_cgroup_from_id(in[0]), *other;
	struct task_struct *task = bpf_get_current_task_btf();
	struct cgroup_subsys_state *css;
	struct bpf_iter_css_task tasks;
	struct bpf_iter_css it;
	struct bpf_dynptr d;

	OUT(0, c != 0);
	if (!c)
		return 1;
	other = bpf_cgroup_ancestor(c, in[1]);
	OUT(1, other != 0);
	if (other) {
		OUT(2, bpf_task_under_cgroup(task, other));
		bpf_cgroup_release(other);
	}
	other = bpf_cgroup_acquire(c);
	if (other) {
		OUT(3, other == c);
		bpf_cgroup_release(other);
	}
	other = bpf_task_get_cgroup1(task, 1 << 20);
	OUT(4, other != 0);
	if (other)
		bpf_cgroup_release(other);
	bpf_dynptr_from_mem(text[1], in[4] & 63, 0, &d);
	OUT(5, bpf_cgroup_read_xattr(c, user_note, &d));
	OUT(6, bpf_cgroup_read_xattr(c, security_note, &d));
	bpf_rcu_read_lock();
	OUT(7, bpf_iter_css_new(&it, &c->self, in[2]));
	while ((css = bpf_iter_css_next(&it))) {
		out[8]++;
		OUT(9, css == &c->self);
		if (out[8] == 1)
			OUT(10, css == &c->self);
		if (out[8] >= 1000)
			break;
	}
	bpf_iter_css_destroy(&it);
	bpf_rcu_read_unlock();
	OUT(11, bpf_iter_css_task_new(&tasks, &c->self, in[3]));
	while ((task = bpf_iter_css_task_next(&tasks))) {
		out[12]++;
		if (out[12] >= 1000)
			break;
	}
	bpf_iter_css_task_destroy(&tasks);
	bpf_cgroup_release(c);
	return 0;
}

/* in: flags of bpf_iter_task, whether to begin at the current task, an address. */
SEC("syscall")
int tasks(void *ctx)
{
	struct task_struct *now = bpf_get_current_task_btf(), *task;
	struct vm_area_struct *area;
	struct bpf_iter_task_vma areas;
	struct bpf_iter_task it;

	bpf_rcu_read_lock();
	OUT(0, bpf_iter_task_new(&it, in[1] ? now : 0, in[0]));
	while ((task = bpf_iter_task_next(&it))) {
		out[1]++;
		out[2] += task->pid;
		if (task == now)
			out[3]++;
		if (out[1] >= 100000)
			break;
	}
	bpf_iter_task_destroy(&it);
	bpf_rcu_read_unlock();
	OUT(4, bpf_iter_task_vma_new(&areas, now, in[2]));
	while ((area = bpf_iter_task_vma_next(&areas))) {
		out[5]++;
		if (out[5] >= 1000)
			break;
	}
	bpf_iter_task_vma_destroy(&areas);
	return 0;
}
