// SPDX-License-Identifier: Apache-2.0
/* What programs attached to functions see of their arguments and results. */
#include "attached.h"

/* How many words of the context are arguments. */
const volatile u32 words;

/* A context has as many words as there are arguments: no code loads others. */
#define WORD(n)                  \
	if (words > n)           \
		OUT(n, ctx[n]);

#define WORDS() WORD(0) WORD(1) WORD(2) WORD(3) WORD(4) WORD(5)

SEC("fentry/bpf_fentry_test1")
int entered(u64 *ctx)
{
	WORDS()
	COUNT();
	return 0;
}

SEC("fexit/bpf_fentry_test1")
int left(u64 *ctx)
{
	WORDS()
	if (words == 1)
		OUT(10, ctx[1]);
	if (words == 2)
		OUT(10, ctx[2]);
	if (words == 3)
		OUT(10, ctx[3]);
	if (words == 4)
		OUT(10, ctx[4]);
	if (words == 5)
		OUT(10, ctx[5]);
	if (words == 6)
		OUT(10, ctx[6]);
	COUNT();
	return 0;
}

SEC("fmod_ret/bpf_modify_return_test")
int replaced(u64 *ctx)
{
	OUT(0, ctx[0]);
	OUT(1, (int)ctx[2]);
	COUNT();
	return in[0];
}

static __attribute__((always_inline)) void ask(u64 *ctx)
{
	u64 value;

	for (int i = 0; i < 8; i++) {
		value = 77;
		OUT(2 * i, bpf_get_func_arg(ctx, i, &value));
		OUT(2 * i + 1, value);
	}
	OUT(20, bpf_get_func_arg_cnt(ctx));
	OUT(21, bpf_get_func_ip(ctx));
	OUT(22, bpf_get_attach_cookie(ctx));
	COUNT();
}

SEC("fentry/bpf_fentry_test1")
int asked(u64 *ctx)
{
	ask(ctx);
	return 0;
}

SEC("fexit/bpf_fentry_test1")
int asked_left(u64 *ctx)
{
	u64 value = 77;

	ask(ctx);
	OUT(23, bpf_get_func_ret(ctx, &value));
	OUT(24, value);
	return 0;
}

/* The test truncates a file of its own. */
SEC("fexit/vfs_truncate")
int truncated(u64 *ctx)
{
	struct path *path = (void *)ctx[0];

	if (!MINE())
		return 0;
	bpf_probe_read_kernel_str(text[0], sizeof(text[0]), path->dentry->d_name.name);
	OUT(0, ctx[1]);
	OUT(1, (int)ctx[2]);
	OUT(2, path->dentry->d_inode->i_mode);
	OUT(3, path->dentry->d_inode->i_size);
	COUNT();
	return 0;
}

struct pt_regs {
	u64 r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8;
	u64 rax, rcx, rdx, rsi, rdi, orig_rax, rip, cs, eflags, rsp, ss;
};

SEC("kprobe/vfs_truncate")
int probed(struct pt_regs *ctx)
{
	struct path *path = (void *)ctx->rdi;
	struct dentry *dentry = 0;
	struct inode *inode = 0;
	const u8 *name = 0;
	long long size = 0;

	if (!MINE())
		return 0;
	OUT(0, ctx->rsi);
	OUT(1, bpf_probe_read_kernel(&dentry, sizeof(dentry), &path->dentry));
	OUT(2, bpf_probe_read_kernel(&name, sizeof(name), &dentry->d_name.name));
	OUT(3, bpf_probe_read_kernel_str(text[0], sizeof(text[0]), name));
	OUT(4, bpf_probe_read_kernel(&inode, sizeof(inode), &dentry->d_inode));
	OUT(5, bpf_probe_read_kernel(&size, sizeof(size), &inode->i_size));
	OUT(6, size);
	OUT(7, bpf_probe_read_kernel(&size, sizeof(size), 0));
	OUT(8, size);
	OUT(9, bpf_probe_read_kernel_str(text[1], 4, name));
	OUT(10, bpf_probe_read_kernel_str(text[1] + 8, 8, (void *)8));
	COUNT();
	return 0;
}

SEC("kprobe/vfs_truncate")
int probed_where(struct pt_regs *ctx)
{
	if (!MINE())
		return 0;
	OUT(0, bpf_get_func_ip(ctx));
	OUT(1, bpf_get_attach_cookie(ctx));
	COUNT();
	return 0;
}

SEC("kretprobe/vfs_truncate")
int returned(struct pt_regs *ctx)
{
	if (!MINE())
		return 0;
	OUT(0, (int)ctx->rax);
	COUNT();
	return 0;
}
