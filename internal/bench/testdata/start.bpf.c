// SPDX-License-Identifier: Apache-2.0
/* Sends the number of a process that makes a system call, as soon as it does. */
#include "bpf.h"

struct task_struct {
	int tgid;
} __attribute__((preserve_access_index));

/* The process that is watched. */
const volatile __u32 watched;

struct event {
	__u32 pid;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
	__type(value, struct event);
} events SEC(".maps");

SEC("raw_tp/sys_enter")
int small(void *ctx)
{
	struct event e = {.pid = bpf_get_current_pid_tgid() >> 32};

	(void)ctx;
	if (e.pid == watched)
		bpf_ringbuf_output(&events, &e, sizeof(e), 0);
	return 0;
}

/* The same by the kernel's types. */
SEC("tp_btf/sys_enter")
int typed(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct event e = {};

	(void)ctx;
	bpf_probe_read_kernel(&e.pid, sizeof(e.pid), &task->tgid);
	if (e.pid == watched)
		bpf_ringbuf_output(&events, &e, sizeof(e), 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
