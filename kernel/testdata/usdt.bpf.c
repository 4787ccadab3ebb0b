// usdt keeps the arguments of the probes that it runs at.
#include "bpf.h"

#define __TARGET_ARCH_x86
struct pt_regs { /* as in linux/ptrace.h */
	unsigned long r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, orig_rax, rip, cs, eflags,
		rsp, ss;
};

#include <bpf/usdt.bpf.h>

struct seen {
	__s32 arguments;  // how many there are, or an error
	__s32 sizes[4];
	__s64 values[4];
	__s32 errors[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 16);
	__type(value, struct seen);
} runs SEC(".maps");

SEC("usdt")
int keep(struct pt_regs *ctx)
{
	struct seen seen = {};

	seen.arguments = bpf_usdt_arg_cnt(ctx);
	for (int i = 0; i < 4; i++) {
		long value;

		seen.sizes[i] = bpf_usdt_arg_size(ctx, i);
		seen.errors[i] = bpf_usdt_arg(ctx, i, &value);
		seen.values[i] = value;
	}
	bpf_map_push_elem(&runs, &seen, 0);
	return 0;
}

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __s64);
} sum SEC(".maps");

// add has a parameter for each argument.
SEC("usdt")
int BPF_USDT(add, int first, long second, signed char third)
{
	__u32 zero = 0;
	__s64 *total = bpf_map_lookup_elem(&sum, &zero);

	if (total)
		*total += first + second + third;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
