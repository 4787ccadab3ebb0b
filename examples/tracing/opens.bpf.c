// SPDX-License-Identifier: Apache-2.0
/*
 * Sends which files a process opens, or every process where pid is 0.
 */
#include "../include/bpf.h"

#define COMM_LEN 16
#define PATH_LEN 64

struct open {
	int pid;
	char comm[COMM_LEN];
	char path[PATH_LEN];
};

/* Linux's, with the field that is used here. */
struct trace_event_raw_sys_enter {
	unsigned long args[6];
} __attribute__((preserve_access_index));

const volatile int pid;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
	__type(value, struct open);
} opens SEC(".maps");

SEC("tracepoint/syscalls/sys_enter_openat")
int opened(struct trace_event_raw_sys_enter *ctx)
{
	int tgid = bpf_get_current_pid_tgid() >> 32;
	if (pid && tgid != pid)
		return 0;

	struct open *o = bpf_ringbuf_reserve(&opens, sizeof(*o), 0);
	if (!o)
		return 0;
	o->pid = tgid;
	bpf_get_current_comm(o->comm, sizeof(o->comm));
	bpf_probe_read_user_str(o->path, sizeof(o->path), (const char *)ctx->args[1]);
	bpf_ringbuf_submit(o, 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
