/* Externs that cilium/ebpf loads, too: none of them is a weak .kconfig variable. */
#include "fixture.h"

extern unsigned long CONFIG_HZ __kconfig;
extern void bpf_prog_active __ksym;
extern int bpf_xdp_metadata_rx_hash(struct xdp_md *ctx, __u32 *hash) __ksym;

SEC("xdp") int config(struct xdp_md *ctx)
{
	return CONFIG_HZ;
}

SEC("xdp") int variables(struct xdp_md *ctx)
{
	return (long)&bpf_prog_active;
}

SEC("xdp") int calls(struct xdp_md *ctx)
{
	__u32 hash = 0;

	return bpf_xdp_metadata_rx_hash(ctx, &hash);
}
