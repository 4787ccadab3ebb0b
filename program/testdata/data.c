/* Every section of global data, and functions static and global across sections. */
#include "fixture.h"

int counter = 7;
int zeroed[4];
const volatile int limit = 42;
const volatile int cfg SEC(".rodata.cfg") = 5;
int custom SEC(".data.custom") = 9;
static int hidden = 3;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} seen SEC(".maps");

static __noinline int leaf(int x)
{
	hidden += x;
	return hidden * custom;
}

__noinline int twice(int x)
{
	return leaf(x) * 2 + counter;
}

static __noinline long step(__u32 i, int *sum)
{
	*sum += i + twice(i);
	return 0;
}

SEC("xdp")
int entry(struct xdp_md *ctx)
{
	__u32 key = ctx->ingress_ifindex;
	int sum = 0;

	bpf_loop(limit, step, &sum, 0);
	if (bpf_map_lookup_elem(&seen, &key))
		zeroed[key & 3]++;
	return sum > cfg ? XDP_PASS : XDP_DROP;
}

SEC("tc")
int other(void *ctx)
{
	return leaf(1);
}

char _license[] SEC("license") = "GPL";
