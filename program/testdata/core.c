/* Each kind of CO-RE relocation, against types that every kernel has. */
#include "fixture.h"

#define field(kind, f) __builtin_preserve_field_info(f, kind)
enum { BYTE_OFFSET, BYTE_SIZE, EXISTS, SIGNED, LSHIFT, RSHIFT };

struct list_head { struct list_head *next, *prev; } __core;
struct task_struct___skep { int pid; int tgid; char comm[16]; } __core;
struct task_struct___wrong { int no_such_field; } __core;
struct task_struct { int pid; int tgid; } __core;
struct tcphdr { __u16 source, dest; __u32 seq, ack_seq; __u16 first : 9, syn : 1; } __core;
struct skep_no_such_struct { int x; } __core;
enum bpf_map_type { BPF_MAP_TYPE_UNSPEC_, BPF_MAP_TYPE_RINGBUF = 1, BPF_MAP_TYPE_SKEP = 2 };

SEC("xdp") int fields(struct xdp_md *ctx)
{
	struct task_struct___skep *t = (void *)(long)ctx->data;

	return field(BYTE_OFFSET, t->tgid) + field(BYTE_SIZE, t->comm) + field(SIGNED, t->pid);
}

SEC("xdp") int exists(struct xdp_md *ctx)
{
	struct task_struct___skep *t = 0;
	struct task_struct___wrong *w = 0;

	return field(EXISTS, t->comm) << 1 | field(EXISTS, w->no_such_field);
}

SEC("xdp") int bitfield(struct xdp_md *ctx)
{
	struct tcphdr *h = (void *)(long)ctx->data;
	__u64 v;

	v = *(__u16 *)((void *)h + field(BYTE_OFFSET, h->syn));
	v <<= field(LSHIFT, h->syn);
	return v >> field(RSHIFT, h->syn);
}

SEC("xdp") int types(struct xdp_md *ctx)
{
	return __builtin_preserve_type_info(*(struct list_head *)0, 0) |
	       __builtin_preserve_type_info(*(struct skep_no_such_struct *)0, 0) << 1 |
	       __builtin_preserve_type_info(*(struct list_head *)0, 1) << 8;
}

SEC("xdp") int matches(struct xdp_md *ctx)
{
	return __builtin_preserve_type_info(*(struct list_head *)0, 2) |
	       __builtin_preserve_type_info(*(struct task_struct *)0, 2) << 1;
}

SEC("xdp") int ids(struct xdp_md *ctx)
{
	return __builtin_btf_type_id(*(struct list_head *)0, 0) + __builtin_btf_type_id(*(struct list_head *)0, 1);
}

SEC("xdp") int enums(struct xdp_md *ctx)
{
	return __builtin_preserve_enum_value(*(enum bpf_map_type *)BPF_MAP_TYPE_RINGBUF, 0) |
	       __builtin_preserve_enum_value(*(enum bpf_map_type *)BPF_MAP_TYPE_SKEP, 0) << 1 |
	       __builtin_preserve_enum_value(*(enum bpf_map_type *)BPF_MAP_TYPE_RINGBUF, 1) << 8;
}

SEC("xdp") int poisoned(struct xdp_md *ctx)
{
	struct task_struct___wrong *w = (void *)(long)ctx->data;

	return w->no_such_field;
}
