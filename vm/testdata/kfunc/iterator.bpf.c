// SPDX-License-Identifier: Apache-2.0
/* Open-coded iterators. */
#include "kfunc.h"

struct bpf_iter_num { u64 opaque[1]; } __attribute__((aligned(8)));
struct bpf_iter_bits { u64 opaque[2]; } __attribute__((aligned(8)));
extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym;
extern int bpf_iter_bits_new(struct bpf_iter_bits *it, const u64 *words, u32 nr_words) __ksym;
extern int *bpf_iter_bits_next(struct bpf_iter_bits *it) __ksym;
extern void bpf_iter_bits_destroy(struct bpf_iter_bits *it) __ksym;

SEC("tc")
int numbers(void *ctx)
{
	struct bpf_iter_num it;
	int *n;

	OUT(0, bpf_iter_num_new(&it, in[0], in[1]));
	while ((n = bpf_iter_num_next(&it))) {
		out[1]++;
		out[2] += *n;
		if (out[1] >= 1000)
			break;
	}
	bpf_iter_num_destroy(&it);
	return 0;
}

u64 words[520];

SEC("tc")
int bits(void *ctx)
{
	struct bpf_iter_bits it;
	int *n;

	OUT(0, bpf_iter_bits_new(&it, words, in[0]));
	while ((n = bpf_iter_bits_next(&it))) {
		out[1]++;
		out[2] = out[2] * 31 + *n;
	}
	bpf_iter_bits_destroy(&it);
	return 0;
}
