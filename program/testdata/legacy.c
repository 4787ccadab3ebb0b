/* Maps as they were defined before BTF. */
#include "fixture.h"

struct bpf_map_def {
	unsigned int type, key_size, value_size, max_entries, map_flags;
};

struct bpf_map_def SEC("maps") old = { BPF_MAP_TYPE_ARRAY, 4, 8, 2, 0 };

SEC("xdp") int lookup(struct xdp_md *ctx)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&old, &key) ? XDP_PASS : XDP_DROP;
}
