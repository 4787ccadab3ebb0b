// SPDX-License-Identifier: Apache-2.0
/* Programs that send records, as many as there is room for and more, and that print. */
#include "bpf.h"

struct event {
	__u64 time;
	__u64 cpu;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
	__type(value, struct event);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
	__type(value, struct event);
} reserved SEC(".maps");

struct {
	__uint(type, 4); /* BPF_MAP_TYPE_PERF_EVENT_ARRAY */
	__uint(key_size, 4);
	__uint(value_size, 4);
} samples SEC(".maps");

__u64 sent; /* records that programs tried to send */

/* The programs that follow send as many records as their packet is long. */
#define EACH_BYTE(skb) for (__u32 i = 0; i < 1000 && i < skb->len; i++)
#define NEXT {bpf_ktime_get_ns(), bpf_get_smp_processor_id()}

SEC("tc")
int through_ring(struct __sk_buff *skb)
{
	EACH_BYTE(skb) {
		struct event e = NEXT;

		__sync_fetch_and_add(&sent, 1);
		bpf_ringbuf_output(&ring, &e, sizeof(e), 0);
	}
	return 0;
}

SEC("tc")
int through_reserved(struct __sk_buff *skb)
{
	EACH_BYTE(skb) {
		struct event e = NEXT, *out = bpf_ringbuf_reserve(&reserved, sizeof(e), 0);

		__sync_fetch_and_add(&sent, 1);
		if (!out)
			continue;
		*out = e;
		bpf_ringbuf_submit(out, 0);
	}
	return 0;
}

SEC("tc")
int through_samples(struct __sk_buff *skb)
{
	EACH_BYTE(skb) {
		struct event e = NEXT;

		__sync_fetch_and_add(&sent, 1);
		bpf_perf_event_output(skb, &samples, 0xffffffff, &e, sizeof(e));
	}
	return 0;
}

long returned[3]; /* by what prints */

SEC("tc")
int prints(struct __sk_buff *skb)
{
	static const char many[] = "many: %d %d %d %d", name[] = "skep";
	__u64 args[] = {1, 2, 3, 4};

	returned[0] = bpf_printk("nothing to say\n");
	bpf_printk("%d is 100%%", skb->len);
	returned[1] = bpf_printk("%s: %x and %llu", name, 255, 1ULL << 40);
	returned[2] = bpf_trace_vprintk(many, sizeof(many), args, sizeof(args));
	return 0;
}

long hidden; /* returned by what prints there */

/* Prints with a format that no look at the object finds. */
SEC("tc")
int hides(struct __sk_buff *skb)
{
	static const char name[] = "skep";
	volatile char fmt[] = "len %d of %s";

	if (skb->len == 0)
		fmt[0] = 'L';
	hidden = bpf_trace_printk((const char *)fmt, sizeof(fmt), skb->len, name);
	return 0;
}

SEC("tc")
int says(struct __sk_buff *skb)
{
	bpf_printk("%d bytes", skb->len);
	return 0;
}

char _license[] SEC("license") = "GPL";
