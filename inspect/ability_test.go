package inspect

import (
	"slices"
	"strings"
	"testing"

	"github.com/skep-ebpf/skep/verifier/kernels"
)

// only are the helpers that do nothing beyond the program and its maps, or only look.
var only = strings.Fields(`map_lookup_elem map_update_elem map_delete_elem map_push_elem map_pop_elem map_peek_elem
	map_lookup_percpu_elem for_each_map_elem loop ktime_get_ns ktime_get_boot_ns ktime_get_coarse_ns ktime_get_tai_ns jiffies64
	get_prandom_u32 get_smp_processor_id get_numa_node_id get_current_pid_tgid get_ns_current_pid_tgid get_current_uid_gid
	get_current_comm get_current_task get_current_task_btf get_current_cgroup_id get_current_ancestor_cgroup_id
	current_task_under_cgroup get_cgroup_classid skb_cgroup_classid skb_cgroup_id skb_ancestor_cgroup_id sk_cgroup_id
	sk_ancestor_cgroup_id skb_under_cgroup get_route_realm get_hash_recalc get_socket_cookie get_socket_uid get_netns_cookie
	perf_event_read perf_event_read_value perf_prog_read_value skb_load_bytes skb_load_bytes_relative skb_pull_data
	skb_get_tunnel_key skb_get_tunnel_opt skb_get_xfrm_state xdp_load_bytes xdp_get_buff_len msg_pull_data load_hdr_opt
	csum_diff fib_lookup check_mtu sk_lookup_tcp sk_lookup_udp skc_lookup_tcp sk_release sk_fullsock tcp_sock
	get_listener_sock skc_to_tcp6_sock skc_to_tcp_sock skc_to_tcp_timewait_sock skc_to_tcp_request_sock skc_to_udp6_sock
	skc_to_unix_sock skc_to_mptcp_sock sock_from_file tcp_check_syncookie tcp_gen_syncookie tcp_raw_gen_syncookie_ipv4
	tcp_raw_gen_syncookie_ipv6 tcp_raw_check_syncookie_ipv4 tcp_raw_check_syncookie_ipv6 getsockopt sysctl_get_name
	sysctl_get_current_value sysctl_get_new_value get_retval strtol strtoul strncmp snprintf spin_lock spin_unlock
	sk_storage_delete inode_storage_delete task_storage_delete cgrp_storage_delete ringbuf_reserve ringbuf_discard
	ringbuf_query ringbuf_reserve_dynptr ringbuf_discard_dynptr dynptr_from_mem dynptr_read dynptr_write dynptr_data
	btf_find_by_name_kind timer_init timer_set_callback timer_cancel get_func_ip get_attach_cookie get_func_arg get_func_ret
	get_func_arg_cnt find_vma kptr_xchg ima_inode_hash ima_file_hash`)

// Each helper has abilities or is known to have none, so that none is passed over.
func TestHelpersAreKnown(t *testing.T) {
	for _, h := range kernels.Helpers() {
		_, can := abilitiesOf()[h.Name]
		if no := slices.Contains(only, strings.TrimPrefix(h.Name, "bpf_")); can == no {
			t.Errorf("%s: has abilities: %v, is known to have none: %v", h.Name, can, no)
		}
	}
	for name := range abilitiesOf() {
		_, kfunc := kernels.KfuncByName(name)
		helper := slices.ContainsFunc(kernels.Helpers(), func(h kernels.Helper) bool { return h.Name == name })
		if !kfunc && !helper {
			t.Errorf("%s: no Linux has it", name)
		}
	}
}
