package inspect

import (
	"slices"
	"strings"
	"sync"
)

// Ability is something that a program could do.
type Ability uint8

// The abilities, from what changes the system most to what is the program's own.
const (
	Crash Ability = iota
	Override
	Deny
	Drop
	Redirect
	Rewrite
	Mark
	Steer
	Address
	Sockets
	Settings
	Signal
	WriteUser
	WriteKernel
	Objects
	ReadUser
	ReadKernel
	Stacks
	Send
	Take
	Print
	Store
	Later
	Sleep
	TailCall
)

// abilities say what each is called, in JSON and for people.
var abilities = [...]struct{ id, text string }{
	Crash:       {"crash", "crash the kernel"},
	Override:    {"override", "override what functions of the kernel return"},
	Deny:        {"deny", "deny operations"},
	Drop:        {"drop", "drop packets"},
	Redirect:    {"redirect", "redirect packets"},
	Rewrite:     {"rewrite", "rewrite packets"},
	Mark:        {"mark", "change what goes with packets"},
	Steer:       {"steer", "choose the socket that gets a packet"},
	Address:     {"address", "change the addresses that sockets use"},
	Sockets:     {"sockets", "change sockets and their options"},
	Settings:    {"settings", "change results and settings that a process reads or sets"},
	Signal:      {"signal", "send signals"},
	WriteUser:   {"write-user", "write memory of processes"},
	WriteKernel: {"write-kernel", "change objects of the kernel"},
	Objects:     {"bpf-objects", "make and change BPF objects"},
	ReadUser:    {"read-user", "read memory of processes"},
	ReadKernel:  {"read-kernel", "read memory of the kernel"},
	Stacks:      {"stacks", "record stacks"},
	Send:        {"send", "send data to user space"},
	Take:        {"take", "take data from user space"},
	Print:       {"print", "print to the trace log"},
	Store:       {"store", "keep data with sockets, tasks, inodes or cgroups"},
	Later:       {"later", "run again later, by itself"},
	Sleep:       {"sleep", "sleep"},
	TailCall:    {"tail-call", "go on in another program"},
}

// String says what the ability is: "drop packets".
func (a Ability) String() string { return abilities[a].text }

// ID is its name for machines: "drop".
func (a Ability) ID() string { return abilities[a].id }

// calls are the helpers and kernel functions that give abilities; a helper has no prefix.
var calls = map[Ability]string{
	Crash:    "crash_kexec",
	Override: "override_return",
	Drop:     "bpf_kfree_skb bpf_qdisc_skb_drop",
	Redirect: `clone_redirect redirect redirect_map redirect_peer redirect_neigh
		sk_redirect_map sk_redirect_hash msg_redirect_map msg_redirect_hash`,
	Rewrite: `skb_store_bytes l3_csum_replace l4_csum_replace csum_update skb_vlan_push skb_vlan_pop skb_change_proto
		skb_change_tail skb_change_head skb_adjust_room skb_set_tunnel_key skb_set_tunnel_opt skb_ecn_set_ce
		xdp_adjust_head xdp_adjust_tail xdp_store_bytes msg_push_data msg_pop_data lwt_push_encap
		lwt_seg6_store_bytes lwt_seg6_adjust_srh lwt_seg6_action store_hdr_opt
		bpf_dynptr_slice_rdwr bpf_skb_set_fou_encap bpf_skb_set_xfrm_info`,
	Mark:    "skb_change_type set_hash set_hash_invalid skb_set_tstamp csum_level xdp_adjust_meta",
	Steer:   "sk_assign sk_select_reuseport bpf_sk_assign_tcp_reqsk",
	Address: "bind bpf_sock_addr_set_sun_path",
	Sockets: `setsockopt sock_ops_cb_flags_set sock_map_update sock_hash_update tcp_send_ack reserve_hdr_opt
		msg_apply_bytes msg_cork_bytes bpf_sock_destroy bpf_sock_ops_enable_tx_tstamp`,
	Settings:  "sysctl_set_new_value set_retval",
	Signal:    "send_signal send_signal_thread bpf_send_signal_task",
	WriteUser: "probe_write_user",
	WriteKernel: `bprm_opts_set rc_repeat rc_keydown rc_pointer_rel bpf_set_dentry_xattr bpf_remove_dentry_xattr
		bpf_ct_insert_entry bpf_ct_change_status bpf_ct_change_timeout bpf_ct_set_status bpf_ct_set_timeout
		bpf_ct_set_nat_info`,
	Objects: "sys_bpf sys_close",
	ReadUser: `probe_read_user probe_read_user_str copy_from_user copy_from_user_task probe_read probe_read_str
		bpf_copy_from_user_str bpf_copy_from_user_dynptr bpf_copy_from_user_str_dynptr bpf_copy_from_user_task_str
		bpf_copy_from_user_task_dynptr bpf_copy_from_user_task_str_dynptr bpf_probe_read_user_dynptr
		bpf_probe_read_user_str_dynptr`,
	ReadKernel: `probe_read_kernel probe_read_kernel_str probe_read probe_read_str snprintf_btf seq_printf_btf d_path
		per_cpu_ptr this_cpu_ptr task_pt_regs kallsyms_lookup_name bpf_probe_read_kernel_dynptr
		bpf_probe_read_kernel_str_dynptr bpf_rdonly_cast bpf_path_d_path bpf_get_file_xattr bpf_get_dentry_xattr
		bpf_cgroup_read_xattr`,
	Stacks: "get_stackid get_stack get_task_stack get_branch_snapshot read_branch_records bpf_stream_print_stack",
	Send: `perf_event_output ringbuf_output ringbuf_submit ringbuf_submit_dynptr skb_output xdp_output
		seq_printf seq_write seq_printf_btf`,
	Take:  "user_ringbuf_drain",
	Print: "trace_printk trace_vprintk bpf_stream_vprintk bpf_stream_vprintk_impl",
	Store: "sk_storage_get inode_storage_get task_storage_get cgrp_storage_get get_local_storage",
	Later: `timer_start bpf_wq_start bpf_task_work_schedule_signal bpf_task_work_schedule_signal_impl
		bpf_task_work_schedule_resume bpf_task_work_schedule_resume_impl bpf_qdisc_watchdog_schedule`,
	TailCall: "tail_call",
}

// abilitiesOf gives the abilities of each helper and kernel function, by its full name.
var abilitiesOf = sync.OnceValue(func() map[string][]Ability {
	all := make(map[string][]Ability)
	for a := range Ability(len(abilities)) {
		for _, name := range strings.Fields(calls[a]) {
			if !strings.HasPrefix(name, "bpf_") && name != "crash_kexec" {
				name = "bpf_" + name
			}
			all[name] = append(all[name], a)
		}
	}
	return all
})

// harmless are the beginnings of kernel functions that do nothing beyond the program's own
// data, or only look.
var harmless = strings.Fields(`bpf_iter_ bpf_cpumask_ bpf_dynptr_ bpf_list_ bpf_rbtree_ bpf_obj_ bpf_percpu_obj_
	bpf_refcount_acquire bpf_rcu_read_ bpf_preempt_ bpf_local_irq_ bpf_res_spin_ bpf_str bpf_arena_ bpf_cast_to_kern_ctx
	bpf_xdp_metadata_ bpf_map_sum_elem_count bpf_throw bpf_session_ bpf_wq_init bpf_wq_set_callback bpf_get_kmem_cache
	bpf_task_acquire bpf_task_release bpf_task_from_ bpf_task_under_cgroup bpf_cgroup_acquire bpf_cgroup_release
	bpf_cgroup_ancestor bpf_cgroup_from_id bpf_timer_cancel_async`)

func isHarmless(kfunc string) bool {
	return slices.ContainsFunc(harmless, func(begin string) bool { return strings.HasPrefix(kfunc, begin) })
}
