// SPDX-License-Identifier: Apache-2.0
/* A congestion control like DCTCP: the window shrinks with the share of packets that were marked. */
#include "congestion.h"

struct dctcp {
	u32 alpha; /* of 1024 */
	u32 next; /* where the round ends */
	u32 delivered, marked; /* when it began */
};

static void round_begins(struct tcp_sock *tp, struct dctcp *d)
{
	d->next = tp->snd_nxt;
	d->delivered = tp->delivered;
	d->marked = tp->delivered_ce;
}

SEC("struct_ops")
void dctcp_begin(u64 *ctx)
{
	struct tcp_sock *tp = (void *)ctx[0];
	struct dctcp *d = (void *)tp->inet_conn.icsk_ca_priv;
	struct note *n = begin(tp, 0, 0, 0);

	d->alpha = 1024;
	round_begins(tp, d);
	tp->snd_ssthresh = 12;
	end(n, tp, 0);
}

SEC("struct_ops")
void dctcp_ack(u64 *ctx)
{
	struct tcp_sock *tp = (void *)ctx[0];
	struct dctcp *d = (void *)tp->inet_conn.icsk_ca_priv;
	struct note *n = begin(tp, 1, ctx[1], 0);

	if ((int)(tp->snd_una - d->next) >= 0) {
		u32 delivered = tp->delivered - d->delivered, marked = tp->delivered_ce - d->marked;

		d->alpha -= d->alpha >> 4;
		if (marked && delivered)
			d->alpha += (marked << 6) / delivered;
		if (d->alpha > 1024)
			d->alpha = 1024;
		round_begins(tp, d);
	}
	end(n, tp, 0);
}

SEC("struct_ops")
void dctcp_avoid(u64 *ctx)
{
	struct tcp_sock *tp = (void *)ctx[0];
	struct note *n = begin(tp, 2, ctx[1], ctx[2]);

	tcp_reno_cong_avoid((void *)tp, ctx[1], ctx[2]);
	end(n, tp, 0);
}

SEC("struct_ops")
u32 dctcp_reduce(u64 *ctx)
{
	struct tcp_sock *tp = (void *)ctx[0];
	struct dctcp *d = (void *)tp->inet_conn.icsk_ca_priv;
	struct note *n = begin(tp, 3, 0, 0);
	u32 to = tp->snd_cwnd - (tp->snd_cwnd * d->alpha >> 11);

	return end(n, tp, to > 2 ? to : 2);
}

SEC(".struct_ops.link")
struct tcp_congestion_ops control = {
	.init = (void *)dctcp_begin,
	.in_ack_event = (void *)dctcp_ack,
	.cong_avoid = (void *)dctcp_avoid,
	.ssthresh = (void *)dctcp_reduce,
	.undo_cwnd = (void *)reno_undo,
	.name = "skep_dctcp",
};
