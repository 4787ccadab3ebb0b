/* What a program asks of the kernel by name. */
#include "fixture.h"

enum libbpf_tristate { TRI_NO = 0, TRI_YES = 1, TRI_MODULE = 2 };

extern int LINUX_KERNEL_VERSION __kconfig;
extern unsigned long CONFIG_HZ __kconfig;
extern bool CONFIG_BPF __kconfig;
extern enum libbpf_tristate CONFIG_IPV6 __kconfig;
extern char CONFIG_DEFAULT_HOSTNAME[8] __kconfig;
extern int CONFIG_SKEP_HAS_NO_SUCH __kconfig __weak;

extern void bpf_prog_active __ksym;
extern void skep_no_such_variable __ksym __weak;

extern int bpf_xdp_metadata_rx_hash(struct xdp_md *ctx, __u32 *hash) __ksym;
extern int skep_no_such_function(int x) __ksym __weak;

SEC("xdp") int config(struct xdp_md *ctx)
{
	return LINUX_KERNEL_VERSION + CONFIG_HZ + CONFIG_BPF + CONFIG_IPV6 +
	       CONFIG_DEFAULT_HOSTNAME[ctx->rx_queue_index & 7] + CONFIG_SKEP_HAS_NO_SUCH;
}

SEC("xdp") int variables(struct xdp_md *ctx)
{
	if (&skep_no_such_variable)
		return XDP_ABORTED;
	return (long)&bpf_prog_active;
}

SEC("xdp") int calls(struct xdp_md *ctx)
{
	__u32 hash = 0;

	bpf_xdp_metadata_rx_hash(ctx, &hash);
	if (skep_no_such_function)
		return skep_no_such_function(hash);
	return hash;
}
