// SPDX-License-Identifier: Apache-2.0
/* Puts a header before packets on a route of the test's. */
#include "attached.h"

struct __sk_buff {
	u32 len, pkt_type, mark, queue_mapping, protocol;
};

static long (*const bpf_skb_load_bytes)(const void *skb, u32 offset, void *to, u32 len) = (void *)26;
static long (*const bpf_lwt_push_encap)(void *skb, u32 type, void *header, u32 len) = (void *)73;

u8 header[64];

/* in[0] is what kind of header, in[1] its length. */
SEC("lwt_xmit")
int encapsulate(struct __sk_buff *skb)
{
	u64 len = in[1];

	if (len == 0 || len > sizeof(header))
		return 0;
	OUT(0, skb->len);
	OUT(1, skb->protocol);
	OUT(2, bpf_skb_load_bytes(skb, 0, text[0], 32));
	OUT(3, bpf_lwt_push_encap(skb, in[0], header, len));
	OUT(4, skb->len);
	OUT(5, skb->protocol);
	OUT(6, bpf_skb_load_bytes(skb, 0, text[1], 48));
	COUNT();
	return out[3] ? 0 : 128; /* BPF_OK, BPF_LWT_REROUTE */
}
