// SPDX-License-Identifier: Apache-2.0
/* A congestion control of TCP that notes how it is called, and what it finds and leaves in the socket. */
#include "attached.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct sock {
	u32 sk_mark;
};

struct tcp_sock {
	u32 snd_cwnd;
	u32 snd_cwnd_cnt;
	u32 snd_ssthresh;
	u32 mss_cache;
};

struct tcp_congestion_ops {
	u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, u32 ack, u32 acked);
	u32 (*undo_cwnd)(struct sock *sk);
	void (*init)(struct sock *sk);
	char name[16];
};

#pragma clang attribute pop

/* Seven numbers for each of the first calls; the last result counts them. */
#define NOTE(i, value)                              \
	do {                                        \
		u32 at = out[63] * 8 + i;           \
		if (at < 56)                        \
			OUT(at, value);             \
	} while (0)

/* As a field of 32 bits is loaded, so are the arguments. */
SEC("struct_ops/init")
void begin(u64 *ctx)
{
	struct tcp_sock *tp = (void *)ctx[0];

	NOTE(0, 1);
	NOTE(1, tp->snd_cwnd);
	NOTE(2, tp->snd_cwnd_cnt);
	NOTE(3, tp->snd_ssthresh);
	tp->snd_cwnd_cnt = 3;
	tp->snd_ssthresh = tp->snd_cwnd * 2 + 1;
	NOTE(4, tp->snd_cwnd_cnt);
	NOTE(5, tp->snd_ssthresh);
	COUNT();
}

SEC("struct_ops/cong_avoid")
void avoid(u64 *ctx)
{
	struct tcp_sock *tp = (void *)ctx[0];
	u32 acked = ctx[2];

	NOTE(0, 2);
	NOTE(1, tp->snd_cwnd);
	NOTE(2, tp->snd_cwnd_cnt);
	NOTE(3, tp->snd_ssthresh);
	NOTE(4, acked);
	if (tp->snd_cwnd < tp->snd_ssthresh)
		tp->snd_cwnd += acked;
	else
		tp->snd_cwnd_cnt += acked;
	NOTE(5, tp->snd_cwnd);
	NOTE(6, tp->snd_cwnd_cnt);
	COUNT();
}

SEC("struct_ops/ssthresh")
u32 threshold(u64 *ctx)
{
	struct tcp_sock *tp = (void *)ctx[0];

	return tp->snd_cwnd / 2 > 2 ? tp->snd_cwnd / 2 : 2;
}

SEC("struct_ops/undo_cwnd")
u32 undo(u64 *ctx)
{
	struct tcp_sock *tp = (void *)ctx[0];

	return tp->snd_cwnd;
}

SEC(".struct_ops.link")
struct tcp_congestion_ops control = {
	.init = (void *)begin,
	.cong_avoid = (void *)avoid,
	.ssthresh = (void *)threshold,
	.undo_cwnd = (void *)undo,
	.name = "skep_test",
};
