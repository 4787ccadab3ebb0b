// SPDX-License-Identifier: Apache-2.0
/* A kernel function of each set, for programs of any type. */
#include "kfunc.h"

struct task_struct { int pid; };
struct bpf_cpumask { u64 bits[128]; u32 usage; };
struct bpf_iter_num { u64 opaque[1]; } __attribute__((aligned(8)));
extern struct task_struct *bpf_task_from_pid(int pid) __ksym;
extern void bpf_task_release(struct task_struct *p) __ksym;
extern struct bpf_cpumask *bpf_cpumask_create(void) __ksym;
extern void bpf_cpumask_release(struct bpf_cpumask *cpumask) __ksym;
extern int bpf_strlen(const char *s) __ksym;

SEC("syscall")
int generic(void *ctx)
{
	struct task_struct *t = bpf_task_from_pid(1);

	if (t)
		bpf_task_release(t);
	return 0;
}

SEC("syscall")
int tracing(void *ctx)
{
	struct bpf_cpumask *m = bpf_cpumask_create();

	if (m)
		bpf_cpumask_release(m);
	return 0;
}

SEC("syscall")
int common(void *ctx)
{
	OUT(0, bpf_strlen((const char *)text[0]));
	return 0;
}
