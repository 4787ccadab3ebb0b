// SPDX-License-Identifier: Apache-2.0
/* Keeps the kernel's verifier busy: it follows a million instructions, twice as it refuses. */
#include "bpf.h"

SEC("tc")
int takes_long(struct __sk_buff *skb)
{
	long seed = bpf_get_prandom_u32();

	asm volatile("r6 = 0;"
		     "1: r6 += 1;"
		     "if %[seed] & 1 goto 2f;"
		     "r7 = 1;"
		     "2: if r6 != 200000 goto 1b;"
		     :
		     : [seed] "r"(seed)
		     : "r6", "r7");
	return 0;
}

char _license[] SEC("license") = "GPL";
