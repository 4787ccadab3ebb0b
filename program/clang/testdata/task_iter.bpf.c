// SPDX-License-Identifier: Apache-2.0
/* All tasks, as text and as records, with loops of the kernel's. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct task_info {
	pid_t pid;
	pid_t tid;
	__u32 state;
	__u8 comm[16];
};

/* The member was called state before 5.14. */
struct task_struct___before {
	long state;
} __attribute__((preserve_access_index));

const volatile pid_t only;

static __u32 state_of(struct task_struct *task)
{
	struct task_struct___before *before = (void *)task;

	if (bpf_core_field_exists(task->__state))
		return task->__state;
	return before->state;
}

SEC("iter/task")
int get_tasks(struct bpf_iter__task *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;
	struct task_info info = {};
	int i, threads = 0;

	if (!task || (only && task->tgid != only))
		return 0;
	info.pid = task->tgid;
	info.tid = task->pid;
	info.state = state_of(task);
	bpf_probe_read_kernel_str(info.comm, sizeof(info.comm), task->comm);
	bpf_for(i, 0, 10) {
		if (i == 7)
			break;
		threads += i;
	}
	bpf_repeat(3)
		threads++;
	BPF_SEQ_PRINTF(seq, "%d %d %s %d %d\n", info.pid, info.tid, info.comm, info.state, threads);
	bpf_seq_write(seq, &info, sizeof(info));
	return 0;
}

SEC("iter/task")
int count_children(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task, *other;
	int threads = 0;

	if (!task || task->tgid != only)
		return 0;
	bpf_rcu_read_lock();
	bpf_for_each(task, other, task, BPF_TASK_ITER_PROC_THREADS)
		threads++;
	bpf_rcu_read_unlock();
	BPF_SEQ_PRINTF(ctx->meta->seq, "%d threads\n", threads);
	return 0;
}
