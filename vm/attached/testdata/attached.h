// SPDX-License-Identifier: Apache-2.0
/* What the programs here share: helpers, and as much of the kernel's types as they use. */
#include "../../testdata/kfunc/kfunc.h"

static u64 (*const bpf_get_current_pid_tgid)(void) = (void *)14;
static long (*const bpf_probe_read_kernel)(void *dst, u32 size, const void *src) = (void *)113;
static long (*const bpf_probe_read_kernel_str)(void *dst, u32 size, const void *src) = (void *)115;
static u64 (*const bpf_get_func_ip)(void *ctx) = (void *)173;
static u64 (*const bpf_get_attach_cookie)(void *ctx) = (void *)174;
static long (*const bpf_get_func_arg)(void *ctx, u32 n, u64 *value) = (void *)183;
static long (*const bpf_get_func_ret)(void *ctx, u64 *value) = (void *)184;
static long (*const bpf_get_func_arg_cnt)(void *ctx) = (void *)185;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct inode {
	u16 i_mode;
	long long i_size;
};

struct qstr {
	const u8 *name;
};

struct dentry {
	struct qstr d_name;
	struct inode *d_inode;
};

struct path {
	struct dentry *dentry;
};

struct file {
	struct path f_path;
	struct inode *f_inode;
	u32 f_flags;
};

#pragma clang attribute pop

/* Whether the process in in[7] is what made the event. */
#define MINE() (bpf_get_current_pid_tgid() >> 32 == in[7])

/* How often a program ran for the test. */
#define COUNT() (out[63]++)
