// SPDX-License-Identifier: Apache-2.0
/* A session's program, which runs when a function is entered and when it returns. */
#include "kfunc.h"

extern bool bpf_session_is_return(void *ctx) __ksym;
extern u64 *bpf_session_cookie(void *ctx) __ksym;

SEC("kprobe.session/some_function")
int both(void *ctx)
{
	u64 *shared = bpf_session_cookie(ctx);

	if (bpf_session_is_return(ctx))
		OUT(1, *shared);
	else
		*shared = in[0];
	return 0;
}
