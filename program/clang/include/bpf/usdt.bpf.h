/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arguments of static probes in user programs (USDT), by libbpf's names:
 *
 *	SEC("usdt/./server:http:request")
 *	int BPF_USDT(request, int method, const char *path) { ... }
 *
 *	long path;
 *	if (bpf_usdt_arg(ctx, 1, &path) == 0) ...
 *
 * Whoever attaches the program describes in a map where the arguments of each
 * place are, and the attachment's cookie is the number of the description.
 */
#ifndef SKEP_USDT_BPF_H
#define SKEP_USDT_BPF_H

#include "bpf_helpers.h"
#include "bpf_tracing.h"

/* How many descriptions there may be, and how many places where Linux has no
 * cookies (before 5.15). */
#ifndef BPF_USDT_MAX_SPEC_CNT
#define BPF_USDT_MAX_SPEC_CNT 256
#endif
#ifndef BPF_USDT_MAX_IP_CNT
#define BPF_USDT_MAX_IP_CNT (4 * BPF_USDT_MAX_SPEC_CNT)
#endif

#define BPF_USDT_MAX_ARG_CNT 12

enum __bpf_usdt_arg_type {
	BPF_USDT_ARG_CONST,	/* val_off */
	BPF_USDT_ARG_REG,	/* register reg_off */
	BPF_USDT_ARG_REG_DEREF,	/* memory at register + val_off */
	BPF_USDT_ARG_SIB,	/* memory at register + val_off + (register idx_reg_off << scale_bitshift) */
};

struct __bpf_usdt_arg_spec {
	__u64 val_off;
	__u8 arg_type;
	__u8 reserved;
	__u16 idx_reg_off : 12;
	__u16 scale_bitshift : 4;
	__s16 reg_off;		/* registers are offsets into struct pt_regs */
	_Bool arg_signed;
	__u8 arg_bitshift;	/* 64 less the argument's bits */
};

struct __bpf_usdt_spec {
	struct __bpf_usdt_arg_spec args[BPF_USDT_MAX_ARG_CNT];
	__u64 usdt_cookie;
	__s16 arg_cnt;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BPF_USDT_MAX_SPEC_CNT);
	__type(key, int);
	__type(value, struct __bpf_usdt_spec);
} __bpf_usdt_specs SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BPF_USDT_MAX_IP_CNT);
	__type(key, long);
	__type(value, __u32);
} __bpf_usdt_ip_to_spec_id SEC(".maps") __weak;

extern const _Bool LINUX_HAS_BPF_COOKIE __kconfig;

/* The errors, as Linux numbers them. */
enum __bpf_usdt_error {
	__BPF_USDT_NO_ARG = -2,		/* -ENOENT */
	__BPF_USDT_NO_SPEC = -3,	/* -ESRCH */
	__BPF_USDT_BAD_SPEC = -22,	/* -EINVAL */
};

/* The description of the place where the program runs; 0: there is none. */
static __always_inline struct __bpf_usdt_spec *__bpf_usdt_spec_of(struct pt_regs *ctx)
{
	int id;

	if (LINUX_HAS_BPF_COOKIE) {
		id = bpf_get_attach_cookie(ctx);
	} else {
		long ip = PT_REGS_IP(ctx);
		__u32 *known = bpf_map_lookup_elem(&__bpf_usdt_ip_to_spec_id, &ip);

		if (!known)
			return 0;
		id = *known;
	}
	return bpf_map_lookup_elem(&__bpf_usdt_specs, &id);
}

/* The description of an argument; on error 0, and what is wrong in *err. */
static __always_inline struct __bpf_usdt_arg_spec *__bpf_usdt_arg_of(struct pt_regs *ctx, __u64 n, int *err)
{
	struct __bpf_usdt_spec *spec = __bpf_usdt_spec_of(ctx);

	*err = __BPF_USDT_NO_SPEC;
	if (!spec)
		return 0;
	*err = __BPF_USDT_NO_ARG;
	if (n >= BPF_USDT_MAX_ARG_CNT)
		return 0;
	barrier_var(n); /* the next test shall not take the place of this one, which the verifier wants */
	if (n >= (__u64)spec->arg_cnt)
		return 0;
	return &spec->args[n];
}

/* How many arguments the probe has. */
__weak __hidden int bpf_usdt_arg_cnt(struct pt_regs *ctx)
{
	struct __bpf_usdt_spec *spec = __bpf_usdt_spec_of(ctx);

	return spec ? spec->arg_cnt : __BPF_USDT_NO_SPEC;
}

/* How many bytes argument n has, of which the first is 0. */
__weak __hidden int bpf_usdt_arg_size(struct pt_regs *ctx, __u64 n)
{
	int err;
	struct __bpf_usdt_arg_spec *arg = __bpf_usdt_arg_of(ctx, n, &err);

	return arg ? (64 - arg->arg_bitshift) >> 3 : err;
}

/* Argument n, of which the first is 0. On error *res is 0. */
__weak __hidden int bpf_usdt_arg(struct pt_regs *ctx, __u64 n, long *res)
{
	unsigned long value = 0, index = 0;
	struct __bpf_usdt_arg_spec *arg;
	int err;

	*res = 0;
	arg = __bpf_usdt_arg_of(ctx, n, &err);
	if (!arg)
		return err;
	if (arg->arg_type > BPF_USDT_ARG_SIB)
		return __BPF_USDT_BAD_SPEC;
	if (arg->arg_type == BPF_USDT_ARG_CONST) {
		value = arg->val_off;
	} else {
		err = bpf_probe_read_kernel(&value, sizeof(value), (void *)ctx + arg->reg_off);
		if (err)
			return err;
	}
	if (arg->arg_type == BPF_USDT_ARG_SIB) {
		err = bpf_probe_read_kernel(&index, sizeof(index), (void *)ctx + arg->idx_reg_off);
		if (err)
			return err;
		value += index << arg->scale_bitshift;
	}
	if (arg->arg_type >= BPF_USDT_ARG_REG_DEREF) {
		err = bpf_probe_read_user(&value, sizeof(value), (void *)(value + arg->val_off));
		if (err)
			return err;
	}
	/* What is above the argument goes, and its sign comes. */
	value <<= arg->arg_bitshift;
	*res = arg->arg_signed ? (long)value >> arg->arg_bitshift : (long)(value >> arg->arg_bitshift);
	return 0;
}

/* What whoever attached the program gave it along. */
__weak __hidden long bpf_usdt_cookie(struct pt_regs *ctx)
{
	struct __bpf_usdt_spec *spec = __bpf_usdt_spec_of(ctx);

	return spec ? spec->usdt_cookie : 0;
}

/* BPF_USDT(name, int a, char *b) is a program whose parameters are the probe's
 * arguments. */
#define __bpf_usdt_param(n) ({ long __arg; bpf_usdt_arg(ctx, n, &__arg); (void *)__arg; })
#define ___bpf_usdt_args0() ctx
#define ___bpf_usdt_args1(x) ___bpf_usdt_args0(), __bpf_usdt_param(0)
#define ___bpf_usdt_args2(x, rest...) ___bpf_usdt_args1(rest), __bpf_usdt_param(1)
#define ___bpf_usdt_args3(x, rest...) ___bpf_usdt_args2(rest), __bpf_usdt_param(2)
#define ___bpf_usdt_args4(x, rest...) ___bpf_usdt_args3(rest), __bpf_usdt_param(3)
#define ___bpf_usdt_args5(x, rest...) ___bpf_usdt_args4(rest), __bpf_usdt_param(4)
#define ___bpf_usdt_args6(x, rest...) ___bpf_usdt_args5(rest), __bpf_usdt_param(5)
#define ___bpf_usdt_args7(x, rest...) ___bpf_usdt_args6(rest), __bpf_usdt_param(6)
#define ___bpf_usdt_args8(x, rest...) ___bpf_usdt_args7(rest), __bpf_usdt_param(7)
#define ___bpf_usdt_args9(x, rest...) ___bpf_usdt_args8(rest), __bpf_usdt_param(8)
#define ___bpf_usdt_args10(x, rest...) ___bpf_usdt_args9(rest), __bpf_usdt_param(9)
#define ___bpf_usdt_args11(x, rest...) ___bpf_usdt_args10(rest), __bpf_usdt_param(10)
#define ___bpf_usdt_args12(x, rest...) ___bpf_usdt_args11(rest), __bpf_usdt_param(11)
#define ___bpf_usdt_args(args...) ___bpf_apply(___bpf_usdt_args, ___bpf_narg(args))(args)

#define BPF_USDT(name, args...)						\
name(struct pt_regs *ctx);						\
static __always_inline typeof(name(0)) ____##name(struct pt_regs *ctx, ##args); \
typeof(name(0)) name(struct pt_regs *ctx)				\
{									\
	_Pragma("GCC diagnostic push")					\
	_Pragma("GCC diagnostic ignored \"-Wint-conversion\"")		\
	return ____##name(___bpf_usdt_args(args));			\
	_Pragma("GCC diagnostic pop")					\
}									\
static __always_inline typeof(name(0)) ____##name(struct pt_regs *ctx, ##args)

#endif
