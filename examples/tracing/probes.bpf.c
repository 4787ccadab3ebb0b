// SPDX-License-Identifier: Apache-2.0
/*
 * Programs that look into the kernel, one of each kind. The structures are
 * Linux's with the fields that are used here: where these really lie, the loader
 * finds out (CO-RE).
 */
#include "../include/bpf.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct task_struct {
	int pid;
	int tgid;
	char comm[16];
	struct task_struct *real_parent;
};

struct linux_binprm {
	const char *filename;
};

struct filename {
	const char *name;
};

struct qstr {
	const unsigned char *name;
};

struct dentry {
	struct qstr d_name;
};

struct path {
	struct dentry *dentry;
};

struct file {
	struct path f_path;
};

struct bpf_iter__task {
	struct task_struct *task;
};

struct trace_entry {
	__u16 type;
	unsigned char flags, preempt_count;
	int pid;
};

struct trace_event_raw_sched_process_exec {
	struct trace_entry ent;
	__u32 __data_loc_filename;
	int pid;
	int old_pid;
};

#pragma clang attribute pop

/* As amd64's kernel saves registers; a function's second argument is in rsi. */
struct pt_regs {
	__u64 r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8;
	__u64 rax, rcx, rdx, rsi, rdi, orig_rax, rip, cs, eflags, rsp, ss;
};

struct event {
	int pid;
	char comm[16];
	char name[32];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, int);
	__type(value, __u64);
} children SEC(".maps");

/* A type of an event is found by its name only where something is of it. */
const struct event *event_type __attribute__((unused));

/* The record of a tracepoint ends in the text that it carries. */
SEC("tracepoint/sched/sched_process_exec")
int handle_exec(struct trace_event_raw_sched_process_exec *ctx)
{
	struct event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e)
		return 0;
	__builtin_memset(e, 0, sizeof(*e));
	e->pid = ctx->pid;
	bpf_probe_read_kernel_str(e->name, sizeof(e->name), (char *)ctx + (ctx->__data_loc_filename & 0xffff));
	bpf_ringbuf_submit(e, 0);
	return 0;
}

/* Arguments of the kernel's types are followed like any pointer. */
SEC("tp_btf/sched_process_exec")
int exec_by(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	struct linux_binprm *bprm = (void *)ctx[2];
	struct event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e)
		return 0;
	__builtin_memset(e, 0, sizeof(*e));
	e->pid = task->real_parent->tgid;
	__builtin_memcpy(e->comm, task->real_parent->comm, sizeof(e->comm));
	bpf_probe_read_kernel_str(e->name, sizeof(e->name), bprm->filename);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

/* A kprobe sees registers, and reads what they point to with a helper. */
SEC("kprobe/do_unlinkat")
int unlinks(struct pt_regs *ctx)
{
	struct filename *file = (void *)ctx->rsi;
	const char *name = 0;
	struct event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e)
		return 0;
	__builtin_memset(e, 0, sizeof(*e));
	bpf_probe_read_kernel(&name, sizeof(name), &file->name);
	bpf_probe_read_kernel_str(e->name, sizeof(e->name), name);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

/* Nobody opens a file called secret. */
SEC("lsm/file_open")
int guard(__u64 *ctx)
{
	struct file *file = (void *)ctx[0];
	char name[8] = {};
	const char secret[8] = "secret";

	bpf_probe_read_kernel_str(name, sizeof(name), file->f_path.dentry->d_name.name);
	for (int i = 0; i < 7; i++)
		if (name[i] != secret[i])
			return 0;
	return -1; /* EPERM */
}

/* How many children each process has. */
SEC("iter/task")
int count_children(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	__u64 one = 1, *n;
	int parent;

	if (!task)
		return 0;
	parent = task->real_parent->tgid;
	n = bpf_map_lookup_elem(&children, &parent);
	if (n)
		*n += 1;
	else
		bpf_map_update_elem(&children, &parent, &one, 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
