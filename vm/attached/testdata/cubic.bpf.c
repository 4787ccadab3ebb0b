// SPDX-License-Identifier: Apache-2.0
/* A congestion control like CUBIC: RFC 9438 with milliseconds, for windows of less than a million packets. */
#include "congestion.h"

struct cubic {
	u32 most; /* the window before the last reduction */
	u32 epoch; /* when congestion avoidance began, in ticks; 0: not yet */
	u32 origin; /* where the curve is flat */
	u32 until; /* milliseconds from the epoch to there */
	u32 rtt; /* the least, in microseconds */
};

static u32 cube_root(u64 n)
{
	u64 root = 0;

	for (int shift = 20; shift >= 0; shift--) {
		u64 more = root | 1ULL << shift;
		u64 fits = (more * more * more - 1 - n) >> 63; /* no branch for the verifier to follow */

		root |= fits << shift;
	}
	return root;
}

static u32 cubic_target(struct cubic *c, u32 cwnd)
{
	u32 now = bpf_jiffies64();
	long long t;

	if (!c->epoch) {
		c->epoch = now;
		c->origin = c->most > cwnd ? c->most : cwnd;
		c->until = cube_root((u64)(c->origin - cwnd) * 2500000000ULL);
	}
	t = (u64)(now - c->epoch) * (1000 / HZ) + c->rtt / 1000;
	t -= c->until;
	if (t > 100000)
		t = 100000;
	if (t < 0)
		return c->origin - (u64)-t * (u64)-t * (u64)-t / 2500000000ULL;
	return c->origin + (u64)t * (u64)t * (u64)t / 2500000000ULL;
}

SEC("struct_ops")
void cubic_init(u64 *ctx)
{
	struct tcp_sock *tp = (void *)ctx[0];
	struct cubic *c = (void *)tp->inet_conn.icsk_ca_priv;
	struct note *n = begin(tp, 0, 0, 0);

	c->most = 40;
	c->epoch = c->rtt = 0;
	tp->snd_ssthresh = 16;
	end(n, tp, 0);
}

SEC("struct_ops")
void cubic_avoid(u64 *ctx)
{
	struct tcp_sock *tp = (void *)ctx[0];
	struct cubic *c = (void *)tp->inet_conn.icsk_ca_priv;
	struct note *n = begin(tp, 1, ctx[1], ctx[2]);
	u32 acked = ctx[2], cwnd, target;

	if (tp->snd_cwnd < tp->snd_ssthresh)
		acked = tcp_slow_start(tp, acked);
	if (acked) {
		cwnd = tp->snd_cwnd;
		target = cubic_target(c, cwnd);
		target = target > cwnd && cwnd ? cwnd / (target - cwnd) : 100 * cwnd;
		tcp_cong_avoid_ai(tp, target > 2 ? target : 2, acked);
	}
	end(n, tp, 0);
}

SEC("struct_ops")
void cubic_acked(u64 *ctx)
{
	struct tcp_sock *tp = (void *)ctx[0];
	struct cubic *c = (void *)tp->inet_conn.icsk_ca_priv;
	const struct ack_sample *sample = (void *)ctx[1];
	struct note *n = begin(tp, 2, sample->pkts_acked, sample->rtt_us);

	if (sample->rtt_us > 0 && (!c->rtt || c->rtt > (u32)sample->rtt_us))
		c->rtt = sample->rtt_us;
	end(n, tp, 0);
}

SEC("struct_ops")
u32 cubic_ssthresh(u64 *ctx)
{
	struct tcp_sock *tp = (void *)ctx[0];
	struct cubic *c = (void *)tp->inet_conn.icsk_ca_priv;
	struct note *n = begin(tp, 3, 0, 0);
	u32 to = tp->snd_cwnd * 7 / 10;

	c->most = tp->snd_cwnd;
	c->epoch = 0;
	return end(n, tp, to > 2 ? to : 2);
}

SEC(".struct_ops.link")
struct tcp_congestion_ops control = {
	.init = (void *)cubic_init,
	.cong_avoid = (void *)cubic_avoid,
	.pkts_acked = (void *)cubic_acked,
	.ssthresh = (void *)cubic_ssthresh,
	.undo_cwnd = (void *)reno_undo,
	.name = "skep_cubic",
};
