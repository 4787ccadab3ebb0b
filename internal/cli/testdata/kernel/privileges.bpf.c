// SPDX-License-Identifier: Apache-2.0
/* A program of each kind that asks for other capabilities. */
#include "bpf.h"

/* The process that the tracepoint's program looks at. */
const volatile __u32 pid;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} hits SEC(".maps");

struct {
	__uint(type, 4 /* BPF_MAP_TYPE_PERF_EVENT_ARRAY */);
	__type(key, __u32);
	__type(value, __u32);
} events SEC(".maps");

static __always_inline int hit(void *ctx, int result)
{
	__u32 key = 0;
	__u64 *n = bpf_map_lookup_elem(&hits, &key);

	(void)ctx;
	if (n)
		__sync_fetch_and_add(n, 1);
	return result;
}

SEC("xdp")
int pass(void *ctx)
{
	return hit(ctx, 2);
}

SEC("xdp")
int tell(void *ctx)
{
	__u64 one = 1;

	bpf_perf_event_output(ctx, &events, 0xffffffff, &one, sizeof(one));
	return 2;
}

SEC("tcx/ingress")
int see(void *ctx)
{
	return hit(ctx, -1);
}

SEC("socket")
int hear(void *ctx)
{
	return hit(ctx, 0);
}

SEC("cgroup/connect4")
int allow(void *ctx)
{
	return hit(ctx, 1);
}

SEC("cgroup_skb/egress")
int send(void *ctx)
{
	return hit(ctx, 1);
}

SEC("sk_lookup")
int lookup(void *ctx)
{
	return hit(ctx, 1);
}

SEC("uprobe")
int call(void *ctx)
{
	return hit(ctx, 0);
}

SEC("uprobe")
int poke(void *ctx)
{
	__u64 one = 1;

	(void)ctx;
	bpf_probe_write_user((void *)8, &one, sizeof(one));
	return 0;
}

SEC("perf_event")
int sample(void *ctx)
{
	return hit(ctx, 0);
}

SEC("tracepoint/sched/sched_process_exec")
int start(void *ctx)
{
	return bpf_get_current_pid_tgid() >> 32 == pid ? hit(ctx, 0) : 0;
}

char _license[] SEC("license") = "GPL";
