// SPDX-License-Identifier: Apache-2.0
/* Writes to a program's streams. */
#include "kfunc.h"

extern int bpf_stream_vprintk(int stream_id, const char *fmt__str, const void *args, u32 len__sz) __ksym;
extern int bpf_stream_print_stack(int stream_id) __ksym;
extern int bpf_stream_vprintk_impl(int stream_id, const char *fmt__str, const void *args, u32 len__sz, void *aux__prog) __ksym;

static const char number[] = "%d, %s and %c\n";
static const char plain[] = "no end of line; ";
static const char wrong[] = "%y\n";
static const char wide[] = "%800s%800s\n";

/* in[0] is a stream, in[1] says what to write, in[2] how many bytes of arguments there are. */
SEC("syscall")
int print(void *ctx)
{
	u64 args[12] = {in[3], (u64)text[0], 'x'}, texts[12] = {(u64)text[0], (u64)text[0]};
	u64 size = in[2];

	if (size > sizeof(args))
		return 1;
	switch (in[1]) {
	case 0: OUT(0, bpf_stream_vprintk_impl(in[0], number, args, size, 0)); break;
	case 1: OUT(0, bpf_stream_vprintk_impl(in[0], plain, args, size, 0)); break;
	case 2: OUT(0, bpf_stream_vprintk_impl(in[0], wrong, args, size, 0)); break;
	default: OUT(0, bpf_stream_vprintk_impl(in[0], wide, texts, size, 0)); break;
	}
	return 0;
}

#define STREAM(id, format, ...) ({ \
	static const char fmt[] = format; \
	u64 args[] = {__VA_ARGS__}; \
	bpf_stream_vprintk(id, fmt, args, sizeof(args)); \
})

/* Lines, and parts of lines. */
SEC("syscall")
int writes(void *ctx)
{
	STREAM(1, "one %d\ntwo ", 1);
	STREAM(2, "wrong: %x\n", 255);
	STREAM(1, "and %d\n", 3);
	STREAM(1, "no end", 0);
	OUT(0, bpf_stream_print_stack(3));
	OUT(1, bpf_stream_print_stack(2));
	return 0;
}
