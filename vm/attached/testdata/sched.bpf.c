// SPDX-License-Identifier: Apache-2.0
/*
 * A scheduler with one queue for all CPUs, in the order of arrival or of virtual
 * time, that notes its calls.
 */
#include "attached.h"

#define SHARED 7
#define LOCAL (1ULL << 63 | 2)
#define SLICE 20000000ULL

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct sched_ext_entity {
	u32 weight;
	u64 slice;
	u64 dsq_vtime;
};

struct thread_info {
	u32 cpu;
};

struct cpumask {
	u64 bits[1];
};

struct task_struct {
	struct thread_info thread_info;
	int pid;
	const struct cpumask *cpus_ptr;
	char comm[16];
	struct sched_ext_entity scx;
};

enum scx_exit_kind { SCX_EXIT_NONE };

struct scx_exit_info {
	enum scx_exit_kind kind;
};

struct sched_ext_ops {
	int (*select_cpu)(struct task_struct *p, int prev_cpu, u64 wake_flags);
	void (*enqueue)(struct task_struct *p, u64 enq_flags);
	void (*dispatch)(int cpu, struct task_struct *prev);
	void (*running)(struct task_struct *p);
	void (*stopping)(struct task_struct *p, bool runnable);
	void (*enable)(struct task_struct *p);
	int (*init)(void);
	void (*exit)(struct scx_exit_info *info);
	u64 flags;
	u32 timeout_ms;
	char name[128];
};

#pragma clang attribute pop

extern int scx_bpf_select_cpu_dfl(struct task_struct *p, int prev_cpu, u64 wake_flags, bool *is_idle) __ksym;
extern void scx_bpf_dsq_insert(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags) __ksym;
extern void scx_bpf_dsq_insert_vtime(struct task_struct *p, u64 dsq_id, u64 slice, u64 vtime, u64 enq_flags) __ksym;
extern bool scx_bpf_dsq_move_to_local(u64 dsq_id) __ksym;
extern int scx_bpf_create_dsq(u64 dsq_id, int node) __ksym;
extern int scx_bpf_dsq_nr_queued(u64 dsq_id) __ksym;

const volatile bool by_time = 0;

enum { NONE, SELECT, ENQUEUE, DISPATCH, RUNNING, STOPPING };

/* What a call was given, and what it did. */
struct call {
	u64 which, args[2];
	u64 weight, slice, vtime, now; /* before */
	u64 queued, result, idle;
	u64 slice_after, vtime_after, now_after;
};

#define CALLS 512
struct call calls[CALLS];
u64 made, vtime_now;
int ended;

static struct call *begin(struct task_struct *p, u64 which, u64 a, u64 b)
{
	u64 at = __sync_fetch_and_add(&made, 1);
	struct call *c;

	if (at >= CALLS)
		return 0;
	c = &calls[at];
	c->args[0] = a;
	c->args[1] = b;
	c->now = vtime_now;
	if (p) {
		c->weight = p->scx.weight;
		c->slice = p->scx.slice;
		c->vtime = p->scx.dsq_vtime;
	}
	return c;
}

static void end(struct call *c, struct task_struct *p, u64 which, u64 result)
{
	if (!c)
		return;
	c->result = result;
	c->now_after = vtime_now;
	if (p) {
		c->slice_after = p->scx.slice;
		c->vtime_after = p->scx.dsq_vtime;
	}
	c->which = which; /* the note is whole */
}

SEC("struct_ops/select_cpu")
int pick(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	struct call *c = begin(p, SELECT, ctx[1], ctx[2]);
	bool idle = 0;
	int cpu = scx_bpf_select_cpu_dfl(p, ctx[1], ctx[2], &idle);

	if (idle)
		scx_bpf_dsq_insert(p, LOCAL, SLICE, 0);
	if (c)
		c->idle = idle;
	end(c, p, SELECT, cpu);
	return cpu;
}

SEC("struct_ops/enqueue")
void enqueue(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	struct call *c = begin(p, ENQUEUE, ctx[1], 0);
	u64 vtime = p->scx.dsq_vtime;

	if (by_time) {
		if ((long long)(vtime - (vtime_now - SLICE)) < 0) /* who slept may not catch up more than one slice */
			vtime = vtime_now - SLICE;
		scx_bpf_dsq_insert_vtime(p, SHARED, SLICE, vtime, ctx[1]);
	} else {
		scx_bpf_dsq_insert(p, SHARED, SLICE, ctx[1]);
	}
	end(c, p, ENQUEUE, 0);
}

SEC("struct_ops/dispatch")
void dispatch(u64 *ctx)
{
	struct call *c = begin(0, DISPATCH, ctx[0], 0);

	if (c)
		c->queued = scx_bpf_dsq_nr_queued(SHARED);
	end(c, 0, DISPATCH, scx_bpf_dsq_move_to_local(SHARED));
}

SEC("struct_ops/running")
void running(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	struct call *c = begin(p, RUNNING, 0, 0);

	if ((long long)(p->scx.dsq_vtime - vtime_now) > 0)
		vtime_now = p->scx.dsq_vtime;
	end(c, p, RUNNING, 0);
}

SEC("struct_ops/stopping")
void stopping(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	struct call *c = begin(p, STOPPING, ctx[1], 0);

	if (p->scx.weight)
		p->scx.dsq_vtime += (SLICE - p->scx.slice) * 100 / p->scx.weight;
	end(c, p, STOPPING, 0);
}

SEC("struct_ops/enable")
void enable(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];

	p->scx.dsq_vtime = vtime_now;
}

SEC("struct_ops.s/init")
int init(u64 *ctx)
{
	return scx_bpf_create_dsq(SHARED, -1);
}

SEC("struct_ops/exit")
void quit(u64 *ctx)
{
	struct scx_exit_info *info = (void *)ctx[0];

	ended = info->kind;
}

SEC(".struct_ops.link")
struct sched_ext_ops scheduler = {
	.select_cpu = (void *)pick,
	.enqueue = (void *)enqueue,
	.dispatch = (void *)dispatch,
	.running = (void *)running,
	.stopping = (void *)stopping,
	.enable = (void *)enable,
	.init = (void *)init,
	.exit = (void *)quit,
	.name = "skep_test",
};
