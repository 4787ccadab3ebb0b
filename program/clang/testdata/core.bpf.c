// SPDX-License-Identifier: Apache-2.0
/* Everything that can be asked of the running kernel. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

char LICENSE[] SEC("license") = "GPL";

struct task_struct___other {
	int never_there;
} __attribute__((preserve_access_index));

struct nothing___other {
	int x;
} __attribute__((preserve_access_index));

enum bpf_func_id___other { NEVER_THERE___other = 1 };

extern int CONFIG_HZ __kconfig __weak;
extern int LINUX_KERNEL_VERSION __kconfig;
extern enum libbpf_tristate CONFIG_BPF_SYSCALL __kconfig __weak;

/* Each of 16 bits is an answer, and set if it is right. */
SEC("raw_tp/sched_switch")
int answers(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct task_struct___other *other = (void *)task;
	struct task_struct *cast = bpf_core_cast(task, struct task_struct);
	struct iphdr ip = { .ihl = 5, .version = 6 };
	int right = 0;

	right |= bpf_core_field_exists(task->pid) << 0;
	right |= !bpf_core_field_exists(other->never_there) << 1;
	right |= bpf_core_type_exists(struct task_struct) << 2;
	right |= !bpf_core_type_exists(struct nothing___other) << 3;
	right |= (bpf_core_field_size(struct task_struct, comm) == 16) << 4;
	right |= (bpf_core_field_offset(struct task_struct, comm) < bpf_core_type_size(struct task_struct)) << 5;
	right |= bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_trace_printk) << 6;
	right |= (bpf_core_enum_value(enum bpf_func_id, BPF_FUNC_trace_printk) == 6) << 7;
	right |= !bpf_core_enum_value_exists(enum bpf_func_id___other, NEVER_THERE___other) << 8;
	right |= (bpf_core_type_id_kernel(struct task_struct) != 0) << 9;
#if __clang_major__ >= 15
	right |= bpf_core_type_matches(struct list_head) << 10;
#else
	right |= 1 << 10;
#endif
	right |= (cast->pid == BPF_CORE_READ(task, pid)) << 11;
	right |= (BPF_PROBE_READ(task, real_parent, pid) == BPF_CORE_READ(task, real_parent, pid)) << 12;
	right |= (BPF_CORE_READ_BITFIELD(cast, sched_reset_on_fork) ==
		  BPF_CORE_READ_BITFIELD_PROBED(task, sched_reset_on_fork)) << 13;
	BPF_CORE_WRITE_BITFIELD(&ip, version, 4);
	right |= (ip.ihl == 5 && ip.version == 4) << 14;
	right |= (CONFIG_HZ > 0 && LINUX_KERNEL_VERSION >= KERNEL_VERSION(5, 10, 0) && CONFIG_BPF_SYSCALL == TRI_YES) << 15;
	return right;
}
