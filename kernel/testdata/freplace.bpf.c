/* A program whose policy another one may replace. */
#include "bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} asked SEC(".maps");

static __always_inline void count(void)
{
	__u32 zero = 0;
	__u64 *n = bpf_map_lookup_elem(&asked, &zero);

	if (n)
		__sync_fetch_and_add(n, 1);
}

__noinline int policy(int length)
{
	asm volatile("" : "+r"(length));
	return length > 1000 ? XDP_DROP : XDP_PASS;
}

SEC("xdp")
int firewall(struct xdp_md *ctx)
{
	count();
	return policy(ctx->data_end - ctx->data);
}

SEC("xdp")
int other(struct xdp_md *ctx)
{
	return policy(ctx->data_end - ctx->data) ? XDP_TX : XDP_ABORTED;
}

SEC("freplace/firewall:policy")
int strict(int length)
{
	count();
	return length > 100 ? XDP_DROP : XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
