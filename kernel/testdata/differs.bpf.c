// SPDX-License-Identifier: Apache-2.0
/* What kernels do not have in common, for tests: fields, functions and variables that
 * this one lacks, and functions to which it attaches no trampoline. */
#include "bpf.h"

#define field_exists(f) __builtin_preserve_field_info(f, 2)

static __u64 (*const get_current_task)(void) = (void *)35;
static __u64 (*const get_current_pid_tgid)(void) = (void *)14;

struct task_struct {
	int pid;
	int tgidd; /* is tgid */
} __attribute__((preserve_access_index));

struct hits {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} hits SEC(".maps");

struct seen {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} seen SEC(".maps");

volatile const __u32 mine; /* the process that counts */

/* Counts a run of the test's own process, and notes a number. */
static __always_inline int count(__u64 number)
{
	__u32 zero = 0;
	__u64 *n;

	if (get_current_pid_tgid() >> 32 != mine)
		return 0;
	n = bpf_map_lookup_elem(&seen, &zero);
	if (n)
		*n = number;
	n = bpf_map_lookup_elem(&hits, &zero);
	if (n)
		__sync_fetch_and_add(n, 1);
	return 0;
}

/* The field is missing: the program is refused. */
SEC("raw_tp/sys_enter") int missing_field(void *ctx)
{
	struct task_struct *task = (void *)get_current_task();
	int tgid = 0;

	bpf_probe_read_kernel(&tgid, sizeof(tgid), &task->tgidd);
	return count(tgid);
}

/* The same, but it asks first. */
SEC("raw_tp/sys_enter") int asked_field(void *ctx)
{
	struct task_struct *task = (void *)get_current_task();
	int tgid = 0;

	if (field_exists(task->tgidd))
		bpf_probe_read_kernel(&tgid, sizeof(tgid), &task->tgidd);
	return count(tgid);
}

extern void *bpf_task_acquir(struct task_struct *task) __ksym;
extern void *bpf_task_acquirer(struct task_struct *task) __ksym __weak;
extern void no_such_variable __ksym;
extern void no_such_variable_at_all __ksym __weak;
extern void schedule __ksym;

SEC("raw_tp/sys_enter") int missing_function(void *ctx)
{
	bpf_task_acquir((void *)get_current_task());
	return 0;
}

SEC("raw_tp/sys_enter") int asked_function(void *ctx)
{
	if (bpf_task_acquirer)
		bpf_task_acquirer((void *)get_current_task());
	return count(0);
}

SEC("raw_tp/sys_enter") int missing_variable(void *ctx)
{
	return count((__u64)&no_such_variable);
}

SEC("raw_tp/sys_enter") int asked_variable(void *ctx)
{
	if (&no_such_variable_at_all)
		return 0;
	return count((__u64)&schedule);
}

/* The second argument of a system call's function is in its registers. */
SEC("fentry/__x64_sys_getpgid") int entered(__u64 *args)
{
	__u64 pid = 0;

	bpf_probe_read_kernel(&pid, sizeof(pid), (void *)args[0] + 112); /* pt_regs.di */
	return count(pid);
}

SEC("fexit/__x64_sys_getpgid") int left(__u64 *args)
{
	return count(args[1]);
}

struct pt_regs {
	unsigned long di;
} __attribute__((preserve_access_index));

/* This reads an argument's memory without a helper, as only fentry may. */
SEC("fentry/__x64_sys_getpgid") int reads(__u64 *args)
{
	return count(((struct pt_regs *)args[0])->di);
}

SEC("tp_btf/sys_enter") int traced(__u64 *args)
{
	return count(args[1]);
}

/* A function with more arguments than fentry took before 6.6. */
SEC("fentry/do_mmap") int mapped(__u64 *args)
{
	__u64 length = args[2];

	return length == 7 * 4096 ? count(length) : 0;
}

/* Fields are found where the kernel has them. */
struct task_struct___real {
	int tgid;
} __attribute__((preserve_access_index));

SEC("raw_tp/sys_enter") int relocated(void *ctx)
{
	struct task_struct___real *task = (void *)get_current_task();
	int tgid = 0;

	bpf_probe_read_kernel(&tgid, sizeof(tgid), &task->tgid);
	return count(tgid);
}

extern int LINUX_KERNEL_VERSION __attribute__((section(".kconfig")));
extern int CONFIG_OF_NO_KERNEL __attribute__((section(".kconfig"))) __weak;

SEC("raw_tp/sys_enter") int configured(void *ctx)
{
	return count(LINUX_KERNEL_VERSION + CONFIG_OF_NO_KERNEL);
}

char LICENSE[] SEC("license") = "GPL";
