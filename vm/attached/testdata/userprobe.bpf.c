// SPDX-License-Identifier: Apache-2.0
/* What programs attached to functions of a process see. */
#include "attached.h"

static long (*const bpf_probe_read_user)(void *dst, u32 size, const void *src) = (void *)112;
static long (*const bpf_probe_read_user_str)(void *dst, u32 size, const void *src) = (void *)114;

struct pt_regs {
	u64 r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8;
	u64 rax, rcx, rdx, rsi, rdi, orig_rax, rip, cs, eflags, rsp, ss;
};

static __attribute__((always_inline)) void enters(struct pt_regs *ctx)
{
	int honey = -1;

	OUT(0, bpf_get_func_ip(ctx));
	OUT(1, bpf_get_attach_cookie(ctx));
	OUT(2, ctx->rdi);
	OUT(3, ctx->rsi);
	OUT(4, bpf_probe_read_user(&honey, sizeof(honey), (void *)ctx->rdi));
	OUT(5, honey);
	OUT(6, bpf_probe_read_user_str(text[0], sizeof(text[0]), (void *)ctx->rsi));
	OUT(7, bpf_probe_read_user_str(text[1], 3, (void *)ctx->rsi));
	OUT(8, bpf_probe_read_kernel(&honey, sizeof(honey), (void *)ctx->rdi));
	OUT(9, honey);
	OUT(10, bpf_probe_read_user(&honey, sizeof(honey), 0));
	OUT(11, bpf_get_current_pid_tgid() >> 32);
	COUNT();
}

static __attribute__((always_inline)) void leaves(struct pt_regs *ctx)
{
	OUT(0, bpf_get_func_ip(ctx));
	OUT(1, bpf_get_attach_cookie(ctx));
	OUT(2, (int)ctx->rax);
	COUNT();
}

SEC("uprobe")
int entered_user(struct pt_regs *ctx)
{
	enters(ctx);
	return 0;
}

SEC("uretprobe")
int left_user(struct pt_regs *ctx)
{
	leaves(ctx);
	return 0;
}

SEC("uprobe.multi/any:*")
int entered_multi(struct pt_regs *ctx)
{
	enters(ctx);
	return 0;
}

SEC("uretprobe.multi/any:*")
int left_multi(struct pt_regs *ctx)
{
	leaves(ctx);
	return 0;
}
