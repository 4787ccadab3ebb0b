// SPDX-License-Identifier: Apache-2.0
/* The same files by trampolines, which know the types of parameters. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("fentry/do_unlinkat")
int BPF_PROG(entered, int dfd, struct filename *name)
{
	bpf_printk("fentry: pid = %d, filename = %s", (int)(bpf_get_current_pid_tgid() >> 32), name->name);
	return 0;
}

SEC("fexit/do_unlinkat")
int BPF_PROG(left, int dfd, struct filename *name, long ret)
{
	bpf_printk("fexit: filename = %s, ret = %ld", name->name, ret);
	return 0;
}

/* A structure by value. */
SEC("fentry/from_kuid")
int BPF_PROG2(user, struct user_namespace *, ns, kuid_t, uid)
{
	bpf_printk("fentry: user %d of level %d", uid.val, ns->level);
	return 0;
}

SEC("lsm/bpf")
int BPF_PROG(lsm_bpf, int cmd, union bpf_attr *attr, unsigned int size, bool kernel)
{
	return 0;
}
