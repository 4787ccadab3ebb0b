// SPDX-License-Identifier: Apache-2.0
/* A congestion control that calls TCP's functions on states of the test's. */
#include "congestion.h"

struct given {
	u32 which, cwnd, count, ssthresh, a, b;
} given[CALLS];

static void each(struct tcp_sock *tp, u32 from, u32 to)
{
	u32 cwnd = tp->snd_cwnd, count = tp->snd_cwnd_cnt, ssthresh = tp->snd_ssthresh;

	for (u32 i = from; i < to; i++) {
		struct given *g;
		struct note *n;
		u64 result = 0;
		u32 at = i;

		asm volatile("" : "+r"(at)); /* compared in the register that it is used from */
		if (at >= CALLS)
			break;
		g = &given[at];

		tp->snd_cwnd = g->cwnd;
		tp->snd_cwnd_cnt = g->count;
		tp->snd_ssthresh = g->ssthresh;
		n = begin(tp, g->which, g->a, g->b);
		if (g->which == 0)
			result = tcp_slow_start(tp, g->a);
		else if (g->which == 1)
			tcp_cong_avoid_ai(tp, g->a, g->b);
		else if (g->which == 2)
			tcp_reno_cong_avoid((void *)tp, g->a, g->b);
		else if (g->which == 3)
			result = tcp_reno_ssthresh((void *)tp);
		else
			result = tcp_reno_undo_cwnd((void *)tp);
		end(n, tp, result);
	}
	tp->snd_cwnd = cwnd;
	tp->snd_cwnd_cnt = count;
	tp->snd_ssthresh = ssthresh;
}

u32 first = CALLS / 2; /* how many when it begins */

SEC("struct_ops")
void each_begin(u64 *ctx)
{
	each((void *)ctx[0], 0, first);
}

SEC("struct_ops")
void each_avoid(u64 *ctx)
{
	if (noted < CALLS)
		each((void *)ctx[0], noted, noted + 12);
	tcp_reno_cong_avoid((void *)ctx[0], ctx[1], ctx[2]);
}

SEC("struct_ops")
u32 reno_ssthresh(u64 *ctx)
{
	return tcp_reno_ssthresh((void *)ctx[0]);
}

SEC(".struct_ops.link")
struct tcp_congestion_ops control = {
	.init = (void *)each_begin,
	.cong_avoid = (void *)each_avoid,
	.ssthresh = (void *)reno_ssthresh,
	.undo_cwnd = (void *)reno_undo,
	.name = "skep_reno",
};
