// SPDX-License-Identifier: Apache-2.0
/* Masks of CPUs. */
#include "kfunc.h"

struct cpumask { unsigned long bits[128]; };
struct bpf_cpumask { struct cpumask cpumask; u32 usage; };
extern struct bpf_cpumask *bpf_cpumask_create(void) __ksym;
extern void bpf_cpumask_release(struct bpf_cpumask *cpumask) __ksym;
extern struct bpf_cpumask *bpf_cpumask_acquire(struct bpf_cpumask *cpumask) __ksym;
extern u32 bpf_cpumask_first(const struct cpumask *cpumask) __ksym;
extern u32 bpf_cpumask_first_zero(const struct cpumask *cpumask) __ksym;
extern u32 bpf_cpumask_first_and(const struct cpumask *src1, const struct cpumask *src2) __ksym;
extern void bpf_cpumask_set_cpu(u32 cpu, struct bpf_cpumask *cpumask) __ksym;
extern void bpf_cpumask_clear_cpu(u32 cpu, struct bpf_cpumask *cpumask) __ksym;
extern bool bpf_cpumask_test_cpu(u32 cpu, const struct cpumask *cpumask) __ksym;
extern bool bpf_cpumask_test_and_set_cpu(u32 cpu, struct bpf_cpumask *cpumask) __ksym;
extern bool bpf_cpumask_test_and_clear_cpu(u32 cpu, struct bpf_cpumask *cpumask) __ksym;
extern void bpf_cpumask_setall(struct bpf_cpumask *cpumask) __ksym;
extern void bpf_cpumask_clear(struct bpf_cpumask *cpumask) __ksym;
extern bool bpf_cpumask_and(struct bpf_cpumask *dst, const struct cpumask *src1, const struct cpumask *src2) __ksym;
extern void bpf_cpumask_or(struct bpf_cpumask *dst, const struct cpumask *src1, const struct cpumask *src2) __ksym;
extern void bpf_cpumask_xor(struct bpf_cpumask *dst, const struct cpumask *src1, const struct cpumask *src2) __ksym;
extern bool bpf_cpumask_equal(const struct cpumask *src1, const struct cpumask *src2) __ksym;
extern bool bpf_cpumask_intersects(const struct cpumask *src1, const struct cpumask *src2) __ksym;
extern bool bpf_cpumask_subset(const struct cpumask *src1, const struct cpumask *src2) __ksym;
extern bool bpf_cpumask_empty(const struct cpumask *cpumask) __ksym;
extern bool bpf_cpumask_full(const struct cpumask *cpumask) __ksym;
extern void bpf_cpumask_copy(struct bpf_cpumask *dst, const struct cpumask *src) __ksym;
extern u32 bpf_cpumask_any_distribute(const struct cpumask *cpumask) __ksym;
extern u32 bpf_cpumask_weight(const struct cpumask *cpumask) __ksym;
extern int bpf_cpumask_populate(struct cpumask *cpumask, void *src, unsigned long src_sz) __ksym;

#define M(mask) ((const struct cpumask *)mask)

SEC("syscall")
int masks(void *ctx)
{
	struct bpf_cpumask *a, *b, *c;
	u32 cpu = in[0], i;

	a = bpf_cpumask_create();
	if (!a)
		return 1;
	b = bpf_cpumask_create();
	if (!b)
		goto no_b;
	c = bpf_cpumask_create();
	if (!c)
		goto no_c;
	OUT(0, bpf_cpumask_empty(M(a)));
	OUT(1, bpf_cpumask_first(M(a)));
	for (i = 0; i < 8; i++) {
		if (in[1] >> i & 1)
			bpf_cpumask_set_cpu(i, a);
		if (in[2] >> i & 1)
			bpf_cpumask_set_cpu(i, b);
	}
	OUT(2, bpf_cpumask_test_cpu(cpu, M(a)));
	OUT(3, bpf_cpumask_test_and_set_cpu(cpu, b));
	OUT(4, bpf_cpumask_test_and_clear_cpu(cpu, a));
	OUT(5, bpf_cpumask_first_zero(M(a)));
	OUT(6, bpf_cpumask_first_and(M(a), M(b)));
	OUT(7, bpf_cpumask_weight(M(b)));
	OUT(8, bpf_cpumask_and(c, M(a), M(b)));
	OUT(9, bpf_cpumask_weight(M(c)));
	bpf_cpumask_or(c, M(a), M(b));
	OUT(10, bpf_cpumask_weight(M(c)));
	bpf_cpumask_xor(c, M(a), M(b));
	OUT(11, bpf_cpumask_weight(M(c)));
	OUT(12, bpf_cpumask_equal(M(a), M(b)));
	OUT(13, bpf_cpumask_intersects(M(a), M(b)));
	OUT(14, bpf_cpumask_subset(M(a), M(b)));
	bpf_cpumask_copy(c, M(a));
	OUT(15, bpf_cpumask_equal(M(a), M(c)));
	bpf_cpumask_setall(c);
	OUT(16, bpf_cpumask_full(M(c)));
	OUT(17, bpf_cpumask_full(M(a)));
	OUT(18, bpf_cpumask_weight(M(c)));
	bpf_cpumask_clear(c);
	OUT(19, bpf_cpumask_empty(M(c)));
	OUT(20, bpf_cpumask_any_distribute(M(c)));
	bpf_cpumask_clear_cpu(cpu, c);
	OUT(21, bpf_cpumask_populate((struct cpumask *)c, in, 8));
	OUT(22, bpf_cpumask_first(M(c)));
	OUT(23, bpf_cpumask_populate((struct cpumask *)c, in, 4));
	OUT(24, ((struct cpumask *)b)->bits[0] & 3);
	bpf_cpumask_release(c);
no_c:
	bpf_cpumask_release(b);
no_b:
	bpf_cpumask_release(a);
	return 0;
}
