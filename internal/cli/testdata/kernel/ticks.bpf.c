// SPDX-License-Identifier: Apache-2.0
/* Counts how often it runs, every millisecond, on either machine. */
#include "bpf.h"

__u64 ticks;

SEC("timer/1ms")
int tick(void *ctx)
{
	if (!ticks++)
		bpf_printk("the first of many");
	return 0;
}

char _license[] SEC("license") = "GPL";
