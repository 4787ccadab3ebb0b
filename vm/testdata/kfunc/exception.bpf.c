// SPDX-License-Identifier: Apache-2.0
/* Exceptions, and functions of the program's that they go on in. */
#include "kfunc.h"

extern void bpf_throw(u64 cookie) __ksym;

static long (*const bpf_loop)(u32 nr_loops, void *callback_fn, void *ctx, u64 flags) = (void *)181;

static __noinline u64 twice(u64 n)
{
	u64 on_stack[4];

	__builtin_memset(on_stack, 0, sizeof(on_stack));
	on_stack[n & 3] = n;
	return on_stack[n & 3] * 2;
}

__noinline int rescue(u64 cookie)
{
	u64 here = cookie;

	OUT(1, twice(here) + in[2]);
	return cookie & 1;
}

static __noinline int deeper(u64 n)
{
	if (n > 5)
		bpf_throw(n);
	return n;
}

SEC("tc") __decl("exception_callback:rescue")
int rescued(void *ctx)
{
	OUT(0, 1);
	OUT(2, deeper(in[0]));
	if (in[1])
		bpf_throw(in[1]);
	OUT(3, 1);
	return 0;
}

SEC("tc")
int plain(void *ctx)
{
	OUT(0, 1);
	OUT(2, deeper(in[0]));
	if (in[1])
		bpf_throw(in[1]);
	return 0;
}
