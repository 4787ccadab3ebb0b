/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arguments of what is traced: registers by their meaning (PT_REGS_*), and programs
 * that are written as functions with the parameters of what they trace (BPF_PROG,
 * BPF_KPROBE, BPF_KSYSCALL ...).
 */
#ifndef __BPF_TRACING_H
#define __BPF_TRACING_H

#include "bpf_core_read.h"
#include "bpf_helpers.h"

/* The processor: the one that the build names, or the one that builds. */
#if defined(__TARGET_ARCH_x86)
#define bpf_target_x86
#elif defined(__TARGET_ARCH_arm64)
#define bpf_target_arm64
#elif defined(__TARGET_ARCH_riscv)
#define bpf_target_riscv
#elif defined(__x86_64__)
#define bpf_target_x86
#elif defined(__aarch64__)
#define bpf_target_arm64
#elif defined(__riscv) && __riscv_xlen == 64
#define bpf_target_riscv
#endif

/*
 * Which member of the saved registers is what. Registers of parameters differ for
 * system calls where the table says so; SYS marks those.
 */
#if defined(bpf_target_x86)

#if defined(__KERNEL__) || defined(__VMLINUX_H__)
#define __PT_PARM1_REG di
#define __PT_PARM2_REG si
#define __PT_PARM3_REG dx
#define __PT_PARM4_REG cx
#define __PT_PARM5_REG r8
#define __PT_PARM6_REG r9
#define __PT_PARM4_SYS_REG r10
#define __PT_RET_REG sp /* the return address lies there */
#define __PT_FP_REG bp
#define __PT_RC_REG ax
#define __PT_SP_REG sp
#define __PT_IP_REG ip
#else /* as linux/ptrace.h has them */
#define __PT_PARM1_REG rdi
#define __PT_PARM2_REG rsi
#define __PT_PARM3_REG rdx
#define __PT_PARM4_REG rcx
#define __PT_PARM5_REG r8
#define __PT_PARM6_REG r9
#define __PT_PARM4_SYS_REG r10
#define __PT_RET_REG rsp
#define __PT_FP_REG rbp
#define __PT_RC_REG rax
#define __PT_SP_REG rsp
#define __PT_IP_REG rip
#endif

#elif defined(bpf_target_arm64)

struct user_pt_regs;
struct pt_regs___arm64 {
	unsigned long orig_x0;
} __attribute__((preserve_access_index));

#define __PT_REGS_CAST(x) ((struct user_pt_regs *)(x))
#define __PT_PARM1_REG regs[0]
#define __PT_PARM2_REG regs[1]
#define __PT_PARM3_REG regs[2]
#define __PT_PARM4_REG regs[3]
#define __PT_PARM5_REG regs[4]
#define __PT_PARM6_REG regs[5]
#define __PT_PARM7_REG regs[6]
#define __PT_PARM8_REG regs[7]
#define __PT_RET_REG regs[30]
#define __PT_FP_REG regs[29]
#define __PT_RC_REG regs[0]
#define __PT_SP_REG sp
#define __PT_IP_REG pc
/* A system call's result takes its first parameter's register; the kernel keeps that one. */
#define PT_REGS_PARM1_SYSCALL(x) (((struct pt_regs___arm64 *)(x))->orig_x0)
#define PT_REGS_PARM1_CORE_SYSCALL(x) BPF_CORE_READ((struct pt_regs___arm64 *)(x), orig_x0)

#elif defined(bpf_target_riscv)

struct user_regs_struct;
struct pt_regs___riscv {
	unsigned long orig_a0;
} __attribute__((preserve_access_index));

#define __PT_REGS_CAST(x) ((struct user_regs_struct *)(x))
#define __PT_PARM1_REG a0
#define __PT_PARM2_REG a1
#define __PT_PARM3_REG a2
#define __PT_PARM4_REG a3
#define __PT_PARM5_REG a4
#define __PT_PARM6_REG a5
#define __PT_PARM7_REG a6
#define __PT_PARM8_REG a7
#define __PT_RET_REG ra
#define __PT_FP_REG s0
#define __PT_RC_REG a0
#define __PT_SP_REG sp
#define __PT_IP_REG pc
#define PT_REGS_PARM1_SYSCALL(x) (((struct pt_regs___riscv *)(x))->orig_a0)
#define PT_REGS_PARM1_CORE_SYSCALL(x) BPF_CORE_READ((struct pt_regs___riscv *)(x), orig_a0)

#endif

struct pt_regs;

#ifndef __PT_REGS_CAST
#define __PT_REGS_CAST(x) (x)
#endif

/* Read in a program's own context; _CORE reads registers that lie elsewhere. */
#if defined(bpf_target_x86) || defined(bpf_target_arm64) || defined(bpf_target_riscv)
#define ___bpf_reg(x, name) (__PT_REGS_CAST(x)->name)
#define ___bpf_reg_core(x, name) BPF_CORE_READ(__PT_REGS_CAST(x), name)
#else
#define ___bpf_reg(x, name) ({ _Pragma("GCC error \"name the processor: -D__TARGET_ARCH_x86, arm64 or riscv\"") 0ul; })
#define ___bpf_reg_core ___bpf_reg
#endif

#define PT_REGS_PARM1(x) ___bpf_reg(x, __PT_PARM1_REG)
#define PT_REGS_PARM1_CORE(x) ___bpf_reg_core(x, __PT_PARM1_REG)
#define PT_REGS_PARM2(x) ___bpf_reg(x, __PT_PARM2_REG)
#define PT_REGS_PARM2_CORE(x) ___bpf_reg_core(x, __PT_PARM2_REG)
#define PT_REGS_PARM3(x) ___bpf_reg(x, __PT_PARM3_REG)
#define PT_REGS_PARM3_CORE(x) ___bpf_reg_core(x, __PT_PARM3_REG)
#define PT_REGS_PARM4(x) ___bpf_reg(x, __PT_PARM4_REG)
#define PT_REGS_PARM4_CORE(x) ___bpf_reg_core(x, __PT_PARM4_REG)
#define PT_REGS_PARM5(x) ___bpf_reg(x, __PT_PARM5_REG)
#define PT_REGS_PARM5_CORE(x) ___bpf_reg_core(x, __PT_PARM5_REG)
#define PT_REGS_PARM6(x) ___bpf_reg(x, __PT_PARM6_REG)
#define PT_REGS_PARM6_CORE(x) ___bpf_reg_core(x, __PT_PARM6_REG)
#define PT_REGS_PARM7(x) ___bpf_reg(x, __PT_PARM7_REG)
#define PT_REGS_PARM7_CORE(x) ___bpf_reg_core(x, __PT_PARM7_REG)
#define PT_REGS_PARM8(x) ___bpf_reg(x, __PT_PARM8_REG)
#define PT_REGS_PARM8_CORE(x) ___bpf_reg_core(x, __PT_PARM8_REG)
#define PT_REGS_RET(x) ___bpf_reg(x, __PT_RET_REG)
#define PT_REGS_RET_CORE(x) ___bpf_reg_core(x, __PT_RET_REG)
#define PT_REGS_FP(x) ___bpf_reg(x, __PT_FP_REG)
#define PT_REGS_FP_CORE(x) ___bpf_reg_core(x, __PT_FP_REG)
#define PT_REGS_RC(x) ___bpf_reg(x, __PT_RC_REG)
#define PT_REGS_RC_CORE(x) ___bpf_reg_core(x, __PT_RC_REG)
#define PT_REGS_SP(x) ___bpf_reg(x, __PT_SP_REG)
#define PT_REGS_SP_CORE(x) ___bpf_reg_core(x, __PT_SP_REG)
#define PT_REGS_IP(x) ___bpf_reg(x, __PT_IP_REG)
#define PT_REGS_IP_CORE(x) ___bpf_reg_core(x, __PT_IP_REG)

/* The same for system calls, from the registers that were saved when the kernel was entered. */
#ifndef PT_REGS_PARM1_SYSCALL
#define PT_REGS_PARM1_SYSCALL(x) PT_REGS_PARM1(x)
#define PT_REGS_PARM1_CORE_SYSCALL(x) PT_REGS_PARM1_CORE(x)
#endif
#ifndef __PT_PARM4_SYS_REG
#define __PT_PARM4_SYS_REG __PT_PARM4_REG
#endif
#define PT_REGS_PARM2_SYSCALL(x) PT_REGS_PARM2(x)
#define PT_REGS_PARM2_CORE_SYSCALL(x) PT_REGS_PARM2_CORE(x)
#define PT_REGS_PARM3_SYSCALL(x) PT_REGS_PARM3(x)
#define PT_REGS_PARM3_CORE_SYSCALL(x) PT_REGS_PARM3_CORE(x)
#define PT_REGS_PARM4_SYSCALL(x) ___bpf_reg(x, __PT_PARM4_SYS_REG)
#define PT_REGS_PARM4_CORE_SYSCALL(x) ___bpf_reg_core(x, __PT_PARM4_SYS_REG)
#define PT_REGS_PARM5_SYSCALL(x) PT_REGS_PARM5(x)
#define PT_REGS_PARM5_CORE_SYSCALL(x) PT_REGS_PARM5_CORE(x)
#define PT_REGS_PARM6_SYSCALL(x) PT_REGS_PARM6(x)
#define PT_REGS_PARM6_CORE_SYSCALL(x) PT_REGS_PARM6_CORE(x)
#define PT_REGS_PARM7_SYSCALL(x) PT_REGS_PARM7(x)
#define PT_REGS_PARM7_CORE_SYSCALL(x) PT_REGS_PARM7_CORE(x)

/* They are the first parameter of the function that a system call's probe is on. */
#define PT_REGS_SYSCALL_REGS(ctx) ((struct pt_regs *)PT_REGS_PARM1(ctx))

/* Where the traced function returns to, read at its entry and at its end. */
#if defined(bpf_target_x86)
#define BPF_KPROBE_READ_RET_IP(ip, ctx) bpf_probe_read_kernel(&(ip), sizeof(ip), (void *)PT_REGS_RET(ctx))
#define BPF_KRETPROBE_READ_RET_IP(ip, ctx) \
	bpf_probe_read_kernel(&(ip), sizeof(ip), (void *)(PT_REGS_FP(ctx) + sizeof(ip)))
#else
#define BPF_KPROBE_READ_RET_IP(ip, ctx) ({ (ip) = PT_REGS_RET(ctx); })
#define BPF_KRETPROBE_READ_RET_IP(ip, ctx) ({ (ip) = PT_REGS_RET(ctx); })
#endif

/*
 * A program as a function with parameters. The program proper takes a context and
 * calls, inlined, the function that the user writes behind the macro; arguments is
 * what it hands over, in parentheses. Arguments are words, and become what the
 * parameters are: hence the cast to a pointer, which converts to both.
 */
#define ___bpf_program(name, context, arguments, params...)                                \
	name(context *ctx);                                                                \
	static __always_inline typeof(name(0)) ____##name(context *ctx, ##params);         \
	typeof(name(0)) name(context *ctx)                                                 \
	{                                                                                  \
		_Pragma("GCC diagnostic push")                                             \
		_Pragma("GCC diagnostic ignored \"-Wint-conversion\"")                     \
		return ____##name arguments;                                               \
		_Pragma("GCC diagnostic pop")                                              \
	}                                                                                  \
	static __always_inline typeof(name(0)) ____##name(context *ctx, ##params)

/* The context and the first words that take gives by their number. */
#define ___bpf_words0(take) ctx
#define ___bpf_words1(take) ___bpf_words0(take), (void *)take(1)
#define ___bpf_words2(take) ___bpf_words1(take), (void *)take(2)
#define ___bpf_words3(take) ___bpf_words2(take), (void *)take(3)
#define ___bpf_words4(take) ___bpf_words3(take), (void *)take(4)
#define ___bpf_words5(take) ___bpf_words4(take), (void *)take(5)
#define ___bpf_words6(take) ___bpf_words5(take), (void *)take(6)
#define ___bpf_words7(take) ___bpf_words6(take), (void *)take(7)
#define ___bpf_words8(take) ___bpf_words7(take), (void *)take(8)
#define ___bpf_words9(take) ___bpf_words8(take), (void *)take(9)
#define ___bpf_words10(take) ___bpf_words9(take), (void *)take(10)
#define ___bpf_words11(take) ___bpf_words10(take), (void *)take(11)
#define ___bpf_words12(take) ___bpf_words11(take), (void *)take(12)
#define ___bpf_words(take, params...) (___bpf_apply(___bpf_words, ___bpf_narg(params))(take))

/* fentry, fexit, fmod_ret, LSM, struct_ops and BTF tracepoints: the context is an array. */
#define ___bpf_take_word(n) ctx[n - 1]
#define BPF_PROG(name, params...) \
	___bpf_program(name, unsigned long long, ___bpf_words(___bpf_take_word, ##params), ##params)

/* kprobes and uprobes at a function's entry and at its end. */
#define ___bpf_take_parm(n) PT_REGS_PARM##n(ctx)
#define ___bpf_take_result(n) PT_REGS_RC(ctx)
#define BPF_KPROBE(name, params...) \
	___bpf_program(name, struct pt_regs, ___bpf_words(___bpf_take_parm, ##params), ##params)
#define BPF_KRETPROBE(name, params...) \
	___bpf_program(name, struct pt_regs, ___bpf_words(___bpf_take_result, ##params), ##params)
#define BPF_UPROBE(name, params...) BPF_KPROBE(name, ##params)
#define BPF_URETPROBE(name, params...) BPF_KRETPROBE(name, ##params)

/*
 * System calls, by kprobe. Most kernels pass their saved registers on to the function;
 * the others its parameters.
 */
extern _Bool LINUX_HAS_SYSCALL_WRAPPER __kconfig;
#define ___bpf_take_syscall(n)                                                                        \
	(LINUX_HAS_SYSCALL_WRAPPER ? PT_REGS_PARM##n##_CORE_SYSCALL(PT_REGS_SYSCALL_REGS(ctx)) : \
				     PT_REGS_PARM##n##_SYSCALL(ctx))
#define BPF_KSYSCALL(name, params...) \
	___bpf_program(name, struct pt_regs, ___bpf_words(___bpf_take_syscall, ##params), ##params)
#define BPF_KPROBE_SYSCALL BPF_KSYSCALL

/*
 * BPF_PROG2(name, type, parameter, type, parameter ...) takes structures of up to 16
 * bytes by value as well, which fill two words of the context.
 */
#define ___bpf_count_words(type) ((sizeof(type) + 7) / 8)
#define ___bpf_value_at(type, first)                       \
	({                                                 \
		union {                                    \
			typeof(type) value;                \
			unsigned long long words[2];       \
		} ___arg;                                  \
		___arg.words[0] = ctx[first];              \
		if (sizeof(type) > 8)                      \
			___arg.words[1] = ctx[(first) + 1]; \
		___arg.value;                              \
	})
#define ___bpf_params0()
#define ___bpf_values0(first)
#define ___bpf_params2(type, name) , type name
#define ___bpf_values2(first, type, name) , ___bpf_value_at(type, first)
#define ___bpf_params4(type, name, more...) , type name ___bpf_params2(more)
#define ___bpf_values4(first, type, name, more...) \
	, ___bpf_value_at(type, first) ___bpf_values2((first) + ___bpf_count_words(type), more)
#define ___bpf_params6(type, name, more...) , type name ___bpf_params4(more)
#define ___bpf_values6(first, type, name, more...) \
	, ___bpf_value_at(type, first) ___bpf_values4((first) + ___bpf_count_words(type), more)
#define ___bpf_params8(type, name, more...) , type name ___bpf_params6(more)
#define ___bpf_values8(first, type, name, more...) \
	, ___bpf_value_at(type, first) ___bpf_values6((first) + ___bpf_count_words(type), more)
#define ___bpf_params10(type, name, more...) , type name ___bpf_params8(more)
#define ___bpf_values10(first, type, name, more...) \
	, ___bpf_value_at(type, first) ___bpf_values8((first) + ___bpf_count_words(type), more)
#define ___bpf_params12(type, name, more...) , type name ___bpf_params10(more)
#define ___bpf_values12(first, type, name, more...) \
	, ___bpf_value_at(type, first) ___bpf_values10((first) + ___bpf_count_words(type), more)
#define BPF_PROG2(name, params...)                                                                        \
	name(unsigned long long *ctx);                                                                    \
	static __always_inline typeof(name(0)) ____##name(                                                \
		unsigned long long *ctx ___bpf_apply(___bpf_params, ___bpf_narg(params))(params));        \
	typeof(name(0)) name(unsigned long long *ctx)                                                     \
	{                                                                                                 \
		return ____##name(ctx ___bpf_apply(___bpf_values, ___bpf_narg(params))(0, ##params));     \
	}                                                                                                 \
	static __always_inline typeof(name(0)) ____##name(                                                \
		unsigned long long *ctx ___bpf_apply(___bpf_params, ___bpf_narg(params))(params))

#endif
