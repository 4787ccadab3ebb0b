/* Instructions of the fourth version of the instruction set, and reserved bits. */
#include "fixture.h"

long big[64];

SEC("xdp") int modern(struct xdp_md *ctx)
{
	signed char c = ctx->data;
	short s = ctx->data_end;
	int w = ctx->data_meta;
	__s64 d = (__s64)ctx->rx_queue_index - 5;

	return c + s + (d / w) + (d % (w + 1)) + __builtin_bswap32(ctx->data) + (long)w;
}

/* r0 = 1; div with off 7; address-space cast; mov with reserved source; exit */
__attribute__((naked)) SEC("xdp") int reserved(struct xdp_md *ctx)
{
	asm volatile(".byte 0xb7, 0x00, 0, 0, 1, 0, 0, 0\n"
		     ".byte 0x37, 0x00, 7, 0, 2, 0, 0, 0\n"
		     ".byte 0xbf, 0x10, 1, 0, 1, 0, 0, 0\n"
		     ".byte 0xb7, 0x30, 9, 0, 4, 0, 0, 0\n"
		     ".byte 0x95, 0x21, 3, 0, 5, 0, 0, 0\n");
}
