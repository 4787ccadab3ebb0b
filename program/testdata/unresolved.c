/* Names that nothing defines. */
#include "fixture.h"

struct big { char bytes[4096]; };
extern void sink(struct big *b);
extern int elsewhere(int x);

SEC("xdp") int undefined(struct xdp_md *ctx)
{
	return elsewhere(ctx->data);
}

SEC("xdp") int libcall(struct xdp_md *ctx)
{
	asm volatile("call memset" ::: "r0");
	return 0;
}
