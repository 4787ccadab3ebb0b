// SPDX-License-Identifier: Apache-2.0
/* A function of a program, and its probes. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/usdt.bpf.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

pid_t my_pid;
__u64 sum, results;

SEC("uprobe")
int BPF_KPROBE(uprobe_add, int a, int b)
{
	sum += a + b;
	return 0;
}

SEC("uretprobe//proc/self/exe:uprobed_sub")
int BPF_URETPROBE(uretprobe_sub, int ret)
{
	results += ret;
	return 0;
}

SEC("usdt/libc.so.6:libc:setjmp")
int BPF_USDT(usdt_auto, void *env, int mask, void *pc)
{
	if (my_pid != (int)(bpf_get_current_pid_tgid() >> 32))
		return 0;
	bpf_printk("setjmp env %p, mask %d, pc %p", env, mask, pc);
	return 0;
}
