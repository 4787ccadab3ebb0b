/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a BPF program says in C: sections, maps, externs, attributes; and the
 * helpers. The names are those that libbpf made common.
 *
 * Types such as __u32 come from vmlinux.h or linux/types.h, included before.
 */
#ifndef __BPF_HELPERS_H
#define __BPF_HELPERS_H

#include "bpf_helper_defs.h"

#ifndef __has_attribute
#define __has_attribute(x) 0
#endif

/*
 * Macros on lists of arguments: how many there are (up to 12), and a macro's name
 * with that number behind it.
 */
#define ___bpf_concat_(a, b) a##b
#define ___bpf_concat(a, b) ___bpf_concat_(a, b)
#define ___bpf_nth(_, _12, _11, _10, _9, _8, _7, _6, _5, _4, _3, _2, _1, n, ...) n
#define ___bpf_narg(args...) ___bpf_nth(_, ##args, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
#define ___bpf_apply(fn, n) ___bpf_concat(fn, n)

/* Arguments, each through a macro. */
#define ___bpf_map0(f)
#define ___bpf_map1(f, x) f(x)
#define ___bpf_map2(f, x, more...) f(x), ___bpf_map1(f, more)
#define ___bpf_map3(f, x, more...) f(x), ___bpf_map2(f, more)
#define ___bpf_map4(f, x, more...) f(x), ___bpf_map3(f, more)
#define ___bpf_map5(f, x, more...) f(x), ___bpf_map4(f, more)
#define ___bpf_map6(f, x, more...) f(x), ___bpf_map5(f, more)
#define ___bpf_map7(f, x, more...) f(x), ___bpf_map6(f, more)
#define ___bpf_map8(f, x, more...) f(x), ___bpf_map7(f, more)
#define ___bpf_map9(f, x, more...) f(x), ___bpf_map8(f, more)
#define ___bpf_map10(f, x, more...) f(x), ___bpf_map9(f, more)
#define ___bpf_map11(f, x, more...) f(x), ___bpf_map10(f, more)
#define ___bpf_map12(f, x, more...) f(x), ___bpf_map11(f, more)
#define ___bpf_map(f, args...) ___bpf_apply(___bpf_map, ___bpf_narg(args))(f, ##args)

/* A program's section says what it is and where it is attached. */
#define SEC(name)                                                            \
	_Pragma("GCC diagnostic push")                                       \
	_Pragma("GCC diagnostic ignored \"-Wignored-attributes\"")           \
	__attribute__((section(name), used))                                 \
	_Pragma("GCC diagnostic pop")

/* Members of a map's definition: a number, a large number, a type, a list. */
#define __uint(name, val) int(*name)[val]
#define __ulong(name, val) enum { ___bpf_concat(__unique_value, __COUNTER__) = val } name
#define __type(name, val) typeof(val) *name
#define __array(name, val) typeof(val) *name[]

/* Values of a map's member pinning, and of a three-valued kernel option. */
enum libbpf_pin_type { LIBBPF_PIN_NONE, LIBBPF_PIN_BY_NAME };
enum libbpf_tristate { TRI_NO, TRI_YES, TRI_MODULE };

/* Functions and variables. */
#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#ifndef __noinline
#define __noinline __attribute__((noinline))
#endif
#ifndef __weak
#define __weak __attribute__((weak))
#endif
#define __hidden __attribute__((visibility("hidden")))

/* Variables of the kernel: its build options, its symbols and functions. */
#define __kconfig __attribute__((section(".kconfig")))
#ifndef __ksym
#define __ksym __attribute__((section(".ksyms")))
#endif

/* Whether the running kernel has a weak __ksym. */
#define bpf_ksym_exists(sym)                                                                 \
	({                                                                                   \
		_Static_assert(!__builtin_constant_p(!!sym), #sym " must be declared __weak"); \
		!!sym;                                                                       \
	})

/* Pointers in maps, by what they point to. */
#define __kptr __attribute__((btf_type_tag("kptr")))
#define __kptr_untrusted __attribute__((btf_type_tag("kptr_untrusted")))
#define __percpu_kptr __attribute__((btf_type_tag("percpu_kptr")))
#define __uptr __attribute__((btf_type_tag("uptr")))

/* Parameters of global functions, as the verifier shall see them. */
#define __arg_ctx __attribute__((btf_decl_tag("arg:ctx")))
#define __arg_nonnull __attribute__((btf_decl_tag("arg:nonnull")))
#define __arg_nullable __attribute__((btf_decl_tag("arg:nullable")))
#define __arg_trusted __attribute__((btf_decl_tag("arg:trusted")))
#define __arg_untrusted __attribute__((btf_decl_tag("arg:untrusted")))
#define __arg_arena __attribute__((btf_decl_tag("arg:arena")))

#ifndef KERNEL_VERSION
#define KERNEL_VERSION(major, minor, patch) (((major) << 16) + ((minor) << 8) + ((patch) > 255 ? 255 : (patch)))
#endif

#ifndef NULL
#define NULL ((void *)0)
#endif
#ifndef offsetof
#define offsetof(type, member) __builtin_offsetof(type, member)
#endif
#ifndef container_of
#define container_of(ptr, type, member)                                            \
	({                                                                         \
		const void *___member = (const typeof(((type *)0)->member) *)(ptr); \
		(type *)(___member - offsetof(type, member));                      \
	})
#endif

/* What the compiler must not look through: memory, or one variable's value. */
#ifndef barrier
#define barrier() asm volatile("" ::: "memory")
#endif
#ifndef barrier_var
#define barrier_var(var) asm volatile("" : "+r"(var))
#endif

/* Code that must not be left when the compiler is done. */
#ifndef __bpf_unreachable
#define __bpf_unreachable() __builtin_trap()
#endif

/*
 * A tail call to a constant slot of a constant map, which the kernel makes a jump.
 * Registers are set here, as a compiler may merge two calls into one with a variable.
 */
#if defined(__clang__) && defined(__bpf__)
static __always_inline void bpf_tail_call_static(void *ctx, const void *map, const __u32 slot)
{
	if (!__builtin_constant_p(slot))
		__bpf_unreachable();
	asm volatile("r1 = %[ctx]\n\t"
		     "r2 = %[map]\n\t"
		     "r3 = %[slot]\n\t"
		     "call 12"
		     :
		     : [ctx] "r"(ctx), [map] "r"(map), [slot] "i"(slot)
		     : "r0", "r1", "r2", "r3", "r4", "r5");
}
#endif

/* A format as a constant in the object, and values as helpers for printing take them. */
#define ___bpf_word(x) (unsigned long long)(x)
#define ___bpf_printed(fmt, call, args...)                               \
	({                                                               \
		static const char ___fmt[] = fmt;                        \
		unsigned long long ___values[] = { ___bpf_map(___bpf_word, ##args) }; \
		call;                                                    \
	})

/* bpf_printk prints a line into the trace log. With up to three values, kernels before 5.16 take it. */
#define ___bpf_printk_old(fmt, args...)                                 \
	({                                                              \
		static const char ___fmt[] = fmt;                       \
		bpf_trace_printk(___fmt, sizeof(___fmt), ##args);       \
	})
#define ___bpf_printk_new(fmt, args...) \
	___bpf_printed(fmt, bpf_trace_vprintk(___fmt, sizeof(___fmt), ___values, sizeof(___values)), ##args)
#define ___bpf_printk0 ___bpf_printk_old
#define ___bpf_printk1 ___bpf_printk_old
#define ___bpf_printk2 ___bpf_printk_old
#define ___bpf_printk3 ___bpf_printk_old
#define ___bpf_printk4 ___bpf_printk_new
#define ___bpf_printk5 ___bpf_printk_new
#define ___bpf_printk6 ___bpf_printk_new
#define ___bpf_printk7 ___bpf_printk_new
#define ___bpf_printk8 ___bpf_printk_new
#define ___bpf_printk9 ___bpf_printk_new
#define ___bpf_printk10 ___bpf_printk_new
#define ___bpf_printk11 ___bpf_printk_new
#define ___bpf_printk12 ___bpf_printk_new
#define bpf_printk(fmt, args...) ___bpf_apply(___bpf_printk, ___bpf_narg(args))(fmt, ##args)

/* The same into an iterator's output, and into memory. */
#define BPF_SEQ_PRINTF(seq, fmt, args...) \
	___bpf_printed(fmt, bpf_seq_printf(seq, ___fmt, sizeof(___fmt), ___values, sizeof(___values)), ##args)
#define BPF_SNPRINTF(out, out_size, fmt, args...) \
	___bpf_printed(fmt, bpf_snprintf(out, out_size, ___fmt, ___values, sizeof(___values)), ##args)

/*
 * Loops over the kernel's iterators. bpf_for_each(task, p, ...) { } sets p to each
 * element; bpf_for(i, from, to) { } counts; bpf_repeat(n) { } only repeats. An
 * iterator ends when its loop is left, in whatever way.
 */
struct bpf_iter_num;
/* bpf_stream_printk prints to a stream of the program's own: BPF_STDOUT or BPF_STDERR. */
extern int bpf_stream_vprintk(int stream_id, const char *fmt__str, const void *args, __u32 len__sz) __weak __ksym;
#define bpf_stream_printk(stream_id, fmt, args...) \
	___bpf_printed(fmt, bpf_stream_vprintk(stream_id, ___fmt, ___values, sizeof(___values)), ##args)

extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __weak __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __weak __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __weak __ksym;

/* clang writes no type for a function that is only called as a cleanup, so it is named once more. */
#define ___bpf_iterate(type, it, next, args...)                                                              \
	for (struct bpf_iter_##type it __attribute__((aligned(8), cleanup(bpf_iter_##type##_destroy))),      \
	     *___bpf_concat(it, _begun) __attribute__((unused)) =                                             \
		     (bpf_iter_##type##_new(&it, ##args), (void)bpf_iter_##type##_destroy, (void *)0);        \
	     next;)
#define ___bpf_for_each(type, it, cur, args...) \
	___bpf_iterate(type, it, ((cur) = bpf_iter_##type##_next(&it)), ##args)
#define ___bpf_for(it, i, from, to)                                                        \
	___bpf_iterate(num, it, ({                                                         \
			       int *___next = bpf_iter_num_next(&it);                      \
			       ___next && ((i) = *___next, (i) >= (from) && (i) < (to));   \
		       }), (from), (to))
#define ___bpf_repeat(it, n) ___bpf_iterate(num, it, bpf_iter_num_next(&it), 0, (n))

#ifndef bpf_for_each
#define bpf_for_each(type, cur, args...) ___bpf_for_each(type, ___bpf_concat(___it, __COUNTER__), cur, ##args)
#endif
#ifndef bpf_for
#define bpf_for(i, from, to) ___bpf_for(___bpf_concat(___it, __COUNTER__), i, from, to)
#endif
#ifndef bpf_repeat
#define bpf_repeat(n) ___bpf_repeat(___bpf_concat(___it, __COUNTER__), n)
#endif

#endif
