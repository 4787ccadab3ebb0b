// SPDX-License-Identifier: Apache-2.0
/*
 * What congestion controls share that note each call: what was in the socket before,
 * and what they left in it.
 */
typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32, __be32, __wsum, u32;
typedef unsigned short __be16;
typedef int __s32;
typedef long long __s64;
typedef unsigned long long __u64, u64;
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define CALLS 96
#define STATE 12 /* words of the socket */
#define PRIV 13 /* words of the control's own */
#define HZ 250

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct sock {
	u32 sk_mark;
};

struct inet_connection_sock {
	u64 icsk_ca_priv[PRIV];
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	u32 snd_cwnd, snd_cwnd_cnt, snd_ssthresh, snd_cwnd_clamp;
	u32 max_packets_out, prior_cwnd, snd_una, snd_nxt, delivered, delivered_ce;
	u64 tcp_mstamp;
	u32 is_cwnd_limited : 1;
};

struct ack_sample {
	u32 pkts_acked;
	int rtt_us;
};

struct tcp_congestion_ops {
	u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, u32 ack, u32 acked);
	void (*in_ack_event)(struct sock *sk, u32 flags);
	void (*pkts_acked)(struct sock *sk, const struct ack_sample *sample);
	u32 (*undo_cwnd)(struct sock *sk);
	void (*init)(struct sock *sk);
	char name[16];
};

#pragma clang attribute pop

extern u32 tcp_slow_start(struct tcp_sock *tp, u32 acked) __ksym;
extern void tcp_cong_avoid_ai(struct tcp_sock *tp, u32 w, u32 acked) __ksym;
extern void tcp_reno_cong_avoid(struct sock *sk, u32 ack, u32 acked) __ksym;
extern u32 tcp_reno_ssthresh(struct sock *sk) __ksym;
extern u32 tcp_reno_undo_cwnd(struct sock *sk) __ksym;

struct note {
	u64 which, args[2], jiffies;
	u64 before[STATE], own_before[PRIV];
	u64 after[STATE], own_after[PRIV];
	u64 result;
};

struct note notes[CALLS];
u32 noted;

static void state(struct tcp_sock *tp, u64 *to, u64 *own)
{
	to[0] = tp->snd_cwnd;
	to[1] = tp->snd_cwnd_cnt;
	to[2] = tp->snd_ssthresh;
	to[3] = tp->snd_cwnd_clamp;
	to[4] = tp->max_packets_out;
	to[5] = tp->prior_cwnd;
	to[6] = BPF_CORE_READ_BITFIELD(tp, is_cwnd_limited);
	to[7] = tp->snd_una;
	to[8] = tp->snd_nxt;
	to[9] = tp->delivered;
	to[10] = tp->delivered_ce;
	to[11] = tp->tcp_mstamp;
#pragma unroll
	for (int i = 0; i < PRIV; i++)
		own[i] = tp->inet_conn.icsk_ca_priv[i];
}

/* The note of a call, with what was there before; NULL where there is no more room. */
static struct note *begin(struct tcp_sock *tp, u64 which, u64 a, u64 b)
{
	u32 at = noted;

	if (at >= CALLS)
		return 0;
	noted = at + 1;
	notes[at].which = which;
	notes[at].args[0] = a;
	notes[at].args[1] = b;
	notes[at].jiffies = bpf_jiffies64();
	state(tp, notes[at].before, notes[at].own_before);
	return &notes[at];
}

static u64 end(struct note *n, struct tcp_sock *tp, u64 result)
{
	if (n) {
		n->result = result;
		state(tp, n->after, n->own_after);
	}
	return result;
}

SEC("struct_ops")
u32 reno_undo(u64 *ctx)
{
	return tcp_reno_undo_cwnd((void *)ctx[0]);
}
