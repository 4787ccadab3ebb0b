// SPDX-License-Identifier: Apache-2.0
/* Files that are removed, by their name, with what came of it. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("kprobe/do_unlinkat")
int BPF_KPROBE(do_unlinkat, int dfd, struct filename *name)
{
	pid_t pid = bpf_get_current_pid_tgid() >> 32;
	const char *filename = BPF_CORE_READ(name, name);
	char text[64];
	unsigned long ip;

	BPF_CORE_READ_STR_INTO(&text, name, name);
	BPF_KPROBE_READ_RET_IP(ip, ctx);
	bpf_printk("entry of %d: %s %s %lx, at %lx", pid, filename, text, ip, PT_REGS_IP(ctx));
	return 0;
}

SEC("kretprobe/do_unlinkat")
int BPF_KRETPROBE(do_unlinkat_exit, long ret)
{
	bpf_printk("exit: %ld", ret);
	return 0;
}

SEC("ksyscall/kill")
int BPF_KSYSCALL(entry_probe, pid_t pid, int sig)
{
	char comm[16];

	if (sig == 0)
		return 0;
	bpf_get_current_comm(&comm, sizeof(comm));
	bpf_printk("%s sends %d to %d", comm, sig, pid);
	return 0;
}

SEC("kretsyscall/kill")
int BPF_KRETPROBE(exit_probe, int ret)
{
	return ret;
}
