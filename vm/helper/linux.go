package helper

import (
	"slices"

	"github.com/cilium/ebpf"
)

// Entry is what Linux says of one of its helpers.
type Entry struct {
	ID    uint32
	Name  string
	Since string // the first Linux that has it: "5.10"
	// Types are the program types that have the helper; empty: all. Programs of
	// type Extension have what the program that they extend has.
	Types []ebpf.ProgramType
	// GPL says that only programs of a GPL compatible licence may call it.
	GPL bool
}

// Linux gives all helpers of Linux in the order of their numbers.
func Linux() []Entry { return linux }

// FromLinux is what Linux says of a helper; false where it has none of this
// number.
func FromLinux(id uint32) (Entry, bool) {
	if id == 0 || int(id) > len(linux) {
		return Entry{}, false
	}
	return linux[id-1], true
}

// The program types that share sets of helpers, as Linux 6.18 offers them.
var (
	exceptLirc = except(ebpf.LircMode2)
	typesCast  = []ebpf.ProgramType{
		ebpf.SocketFilter, ebpf.SchedCLS, ebpf.SchedACT, ebpf.XDP, ebpf.CGroupSKB, ebpf.LWTIn, ebpf.LWTOut,
		ebpf.LWTXmit, ebpf.SockOps, ebpf.SkSKB, ebpf.SkMsg, ebpf.CGroupSockAddr, ebpf.LWTSeg6Local,
		ebpf.FlowDissector, ebpf.Tracing, ebpf.LSM, ebpf.SkLookup, ebpf.Syscall,
	}
	typesCgroupSKB   = []ebpf.ProgramType{ebpf.CGroupSKB}
	typesLSM         = []ebpf.ProgramType{ebpf.LSM}
	typesLirc        = []ebpf.ProgramType{ebpf.LircMode2}
	typesLookup      = []ebpf.ProgramType{ebpf.SchedCLS, ebpf.SchedACT, ebpf.XDP, ebpf.CGroupSKB, ebpf.SkSKB, ebpf.CGroupSockAddr}
	typesObjects     = []ebpf.ProgramType{ebpf.Tracing, ebpf.LSM, ebpf.Syscall}
	typesPerf        = []ebpf.ProgramType{ebpf.PerfEvent}
	typesRetval      = []ebpf.ProgramType{ebpf.CGroupSock, ebpf.CGroupDevice, ebpf.CGroupSockAddr, ebpf.CGroupSysctl, ebpf.CGroupSockopt, ebpf.LSM}
	typesSeg6        = []ebpf.ProgramType{ebpf.LWTSeg6Local}
	typesSkMsg       = []ebpf.ProgramType{ebpf.SkMsg}
	typesSkSKB       = []ebpf.ProgramType{ebpf.SkSKB}
	typesSockOps     = []ebpf.ProgramType{ebpf.SockOps}
	typesSockopt     = []ebpf.ProgramType{ebpf.SockOps, ebpf.CGroupSockAddr, ebpf.CGroupSockopt, ebpf.StructOps, ebpf.LSM}
	typesSyscall     = []ebpf.ProgramType{ebpf.Syscall}
	typesSysctl      = []ebpf.ProgramType{ebpf.CGroupSysctl}
	typesTC          = []ebpf.ProgramType{ebpf.SchedCLS, ebpf.SchedACT}
	typesTCCgroup    = []ebpf.ProgramType{ebpf.SchedCLS, ebpf.SchedACT, ebpf.CGroupSKB}
	typesTCLWT       = []ebpf.ProgramType{ebpf.SchedCLS, ebpf.SchedACT, ebpf.LWTIn, ebpf.LWTOut, ebpf.LWTXmit, ebpf.LWTSeg6Local}
	typesTCXDP       = []ebpf.ProgramType{ebpf.SchedCLS, ebpf.SchedACT, ebpf.XDP}
	typesTCXmit      = []ebpf.ProgramType{ebpf.SchedCLS, ebpf.SchedACT, ebpf.LWTXmit}
	typesTCXmitSkSKB = []ebpf.ProgramType{ebpf.SchedCLS, ebpf.SchedACT, ebpf.LWTXmit, ebpf.SkSKB}
	typesTrace       = []ebpf.ProgramType{
		ebpf.Kprobe, ebpf.TracePoint, ebpf.PerfEvent, ebpf.RawTracepoint, ebpf.RawTracepointWritable,
		ebpf.Tracing, ebpf.LSM, ebpf.Syscall,
	}
	typesTracing    = []ebpf.ProgramType{ebpf.Tracing}
	typesTrampoline = []ebpf.ProgramType{ebpf.Tracing, ebpf.LSM}
	typesXDP        = []ebpf.ProgramType{ebpf.XDP}
)

// except are all types but some.
func except(without ...ebpf.ProgramType) []ebpf.ProgramType {
	var all []ebpf.ProgramType
	for t := ebpf.UnspecifiedProgram; t <= ebpf.Netfilter; t++ {
		if t != ebpf.Extension && !slices.Contains(without, t) {
			all = append(all, t)
		}
	}
	return all
}

// linux is the table; helper n is element n-1. The versions are those of the
// kernels that first had them, the types and licences those that the verifier
// of 6.18 gives.
var linux = []Entry{
	{1, "bpf_map_lookup_elem", "3.19", nil, false},
	{2, "bpf_map_update_elem", "3.19", nil, false},
	{3, "bpf_map_delete_elem", "3.19", nil, false},
	{4, "bpf_probe_read", "4.1", typesTrace, true},
	{5, "bpf_ktime_get_ns", "4.1", nil, false},
	{6, "bpf_trace_printk", "4.1", nil, true},
	{7, "bpf_get_prandom_u32", "4.1", nil, false},
	{8, "bpf_get_smp_processor_id", "4.1", exceptLirc, false},
	{9, "bpf_skb_store_bytes", "4.1", typesTCXmitSkSKB, false},
	{10, "bpf_l3_csum_replace", "4.1", typesTCXmit, false},
	{11, "bpf_l4_csum_replace", "4.1", typesTCXmit, false},
	{12, "bpf_tail_call", "4.2", nil, false},
	{13, "bpf_clone_redirect", "4.2", typesTCXmit, false},
	{14, "bpf_get_current_pid_tgid", "4.2", exceptLirc, false},
	{15, "bpf_get_current_uid_gid", "4.2", exceptLirc, false},
	{16, "bpf_get_current_comm", "4.2", exceptLirc, false},
	{17, "bpf_get_cgroup_classid", "4.3", exceptLirc, false},
	{18, "bpf_skb_vlan_push", "4.3", typesTC, false},
	{19, "bpf_skb_vlan_pop", "4.3", typesTC, false},
	{20, "bpf_skb_get_tunnel_key", "4.3", typesTCXmit, false},
	{21, "bpf_skb_set_tunnel_key", "4.3", typesTCXmit, false},
	{22, "bpf_perf_event_read", "4.3", exceptLirc, true},
	{23, "bpf_redirect", "4.4", []ebpf.ProgramType{ebpf.SchedCLS, ebpf.SchedACT, ebpf.XDP, ebpf.LWTXmit}, false},
	{24, "bpf_get_route_realm", "4.4", typesTCLWT, false},
	{25, "bpf_perf_event_output", "4.4", except(ebpf.LircMode2, ebpf.SkReuseport, ebpf.FlowDissector, ebpf.StructOps, ebpf.Netfilter), true},
	{26, "bpf_skb_load_bytes", "4.5", []ebpf.ProgramType{ebpf.SocketFilter, ebpf.SchedCLS, ebpf.SchedACT, ebpf.CGroupSKB, ebpf.LWTIn, ebpf.LWTOut, ebpf.LWTXmit, ebpf.SkSKB, ebpf.LWTSeg6Local, ebpf.SkReuseport, ebpf.FlowDissector}, false},
	{27, "bpf_get_stackid", "4.6", typesTrace, true},
	{28, "bpf_csum_diff", "4.6", []ebpf.ProgramType{ebpf.SchedCLS, ebpf.SchedACT, ebpf.XDP, ebpf.LWTIn, ebpf.LWTOut, ebpf.LWTXmit, ebpf.LWTSeg6Local}, false},
	{29, "bpf_skb_get_tunnel_opt", "4.6", typesTCXmit, false},
	{30, "bpf_skb_set_tunnel_opt", "4.6", typesTCXmit, false},
	{31, "bpf_skb_change_proto", "4.8", typesTC, false},
	{32, "bpf_skb_change_type", "4.8", typesTC, false},
	{33, "bpf_skb_under_cgroup", "4.8", typesTCLWT, false},
	{34, "bpf_get_hash_recalc", "4.8", typesTCLWT, false},
	{35, "bpf_get_current_task", "4.8", exceptLirc, true},
	{36, "bpf_probe_write_user", "4.8", typesTrace, true},
	{37, "bpf_current_task_under_cgroup", "4.9", exceptLirc, false},
	{38, "bpf_skb_change_tail", "4.9", typesTCXmitSkSKB, false},
	{39, "bpf_skb_pull_data", "4.9", []ebpf.ProgramType{ebpf.SchedCLS, ebpf.SchedACT, ebpf.LWTIn, ebpf.LWTOut, ebpf.LWTXmit, ebpf.SkSKB, ebpf.LWTSeg6Local}, false},
	{40, "bpf_csum_update", "4.9", typesTCXmit, false},
	{41, "bpf_set_hash_invalid", "4.9", typesTCXmit, false},
	{42, "bpf_get_numa_node_id", "4.10", exceptLirc, false},
	{43, "bpf_skb_change_head", "4.10", typesTCXmitSkSKB, false},
	{44, "bpf_xdp_adjust_head", "4.10", typesXDP, false},
	{45, "bpf_probe_read_str", "4.11", typesTrace, true},
	{46, "bpf_get_socket_cookie", "4.12", []ebpf.ProgramType{ebpf.SocketFilter, ebpf.SchedCLS, ebpf.SchedACT, ebpf.CGroupSKB, ebpf.CGroupSock, ebpf.SockOps, ebpf.SkSKB, ebpf.CGroupSockAddr, ebpf.SkReuseport, ebpf.Tracing, ebpf.LSM, ebpf.Syscall}, false},
	{47, "bpf_get_socket_uid", "4.12", []ebpf.ProgramType{ebpf.SocketFilter, ebpf.SchedCLS, ebpf.SchedACT, ebpf.CGroupSKB, ebpf.SkSKB}, false},
	{48, "bpf_set_hash", "4.13", typesTC, false},
	{49, "bpf_setsockopt", "4.13", typesSockopt, false},
	{50, "bpf_skb_adjust_room", "4.13", []ebpf.ProgramType{ebpf.SchedCLS, ebpf.SchedACT, ebpf.SkSKB}, false},
	{51, "bpf_redirect_map", "4.14", typesXDP, false},
	{52, "bpf_sk_redirect_map", "4.14", typesSkSKB, false},
	{53, "bpf_sock_map_update", "4.14", typesSockOps, false},
	{54, "bpf_xdp_adjust_meta", "4.15", typesXDP, false},
	{55, "bpf_perf_event_read_value", "4.15", exceptLirc, true},
	{56, "bpf_perf_prog_read_value", "4.15", typesPerf, true},
	{57, "bpf_getsockopt", "4.15", typesSockopt, false},
	{58, "bpf_override_return", "4.16", []ebpf.ProgramType{ebpf.Kprobe}, true},
	{59, "bpf_sock_ops_cb_flags_set", "4.16", typesSockOps, false},
	{60, "bpf_msg_redirect_map", "4.17", typesSkMsg, false},
	{61, "bpf_msg_apply_bytes", "4.17", typesSkMsg, false},
	{62, "bpf_msg_cork_bytes", "4.17", typesSkMsg, false},
	{63, "bpf_msg_pull_data", "4.17", typesSkMsg, false},
	{64, "bpf_bind", "4.17", []ebpf.ProgramType{ebpf.CGroupSockAddr}, false},
	{65, "bpf_xdp_adjust_tail", "4.18", typesXDP, false},
	{66, "bpf_skb_get_xfrm_state", "4.18", typesTC, false},
	{67, "bpf_get_stack", "4.18", typesTrace, true},
	{68, "bpf_skb_load_bytes_relative", "4.18", []ebpf.ProgramType{ebpf.SocketFilter, ebpf.SchedCLS, ebpf.SchedACT, ebpf.CGroupSKB, ebpf.SkReuseport}, false},
	{69, "bpf_fib_lookup", "4.18", typesTCXDP, true},
	{70, "bpf_sock_hash_update", "4.18", typesSockOps, false},
	{71, "bpf_msg_redirect_hash", "4.18", typesSkMsg, false},
	{72, "bpf_sk_redirect_hash", "4.18", typesSkSKB, false},
	{73, "bpf_lwt_push_encap", "4.18", []ebpf.ProgramType{ebpf.LWTIn, ebpf.LWTXmit}, false},
	{74, "bpf_lwt_seg6_store_bytes", "4.18", typesSeg6, false},
	{75, "bpf_lwt_seg6_adjust_srh", "4.18", typesSeg6, false},
	{76, "bpf_lwt_seg6_action", "4.18", typesSeg6, false},
	{77, "bpf_rc_repeat", "4.18", typesLirc, true},
	{78, "bpf_rc_keydown", "4.18", typesLirc, true},
	{79, "bpf_skb_cgroup_id", "4.18", typesTCCgroup, false},
	{80, "bpf_get_current_cgroup_id", "4.18", exceptLirc, false},
	{81, "bpf_get_local_storage", "4.19", []ebpf.ProgramType{ebpf.CGroupSKB, ebpf.CGroupSock, ebpf.SockOps, ebpf.CGroupDevice, ebpf.CGroupSockAddr, ebpf.CGroupSysctl, ebpf.CGroupSockopt, ebpf.LSM}, false},
	{82, "bpf_sk_select_reuseport", "4.19", []ebpf.ProgramType{ebpf.SkReuseport}, false},
	{83, "bpf_skb_ancestor_cgroup_id", "4.19", typesTCCgroup, false},
	{84, "bpf_sk_lookup_tcp", "4.20", typesLookup, false},
	{85, "bpf_sk_lookup_udp", "4.20", typesLookup, false},
	{86, "bpf_sk_release", "4.20", []ebpf.ProgramType{ebpf.SchedCLS, ebpf.SchedACT, ebpf.XDP, ebpf.CGroupSKB, ebpf.SkSKB, ebpf.CGroupSockAddr, ebpf.SkLookup}, false},
	{87, "bpf_map_push_elem", "4.20", nil, false},
	{88, "bpf_map_pop_elem", "4.20", nil, false},
	{89, "bpf_map_peek_elem", "4.20", nil, false},
	{90, "bpf_msg_push_data", "4.20", typesSkMsg, false},
	{91, "bpf_msg_pop_data", "5.0", typesSkMsg, false},
	{92, "bpf_rc_pointer_rel", "5.0", typesLirc, true},
	{93, "bpf_spin_lock", "5.1", exceptLirc, false},
	{94, "bpf_spin_unlock", "5.1", exceptLirc, false},
	{95, "bpf_sk_fullsock", "5.1", typesTCCgroup, false},
	{96, "bpf_tcp_sock", "5.1", []ebpf.ProgramType{ebpf.SchedCLS, ebpf.SchedACT, ebpf.CGroupSKB, ebpf.SockOps, ebpf.CGroupSockopt}, false},
	{97, "bpf_skb_ecn_set_ce", "5.1", typesTCCgroup, false},
	{98, "bpf_get_listener_sock", "5.1", typesTCCgroup, false},
	{99, "bpf_skc_lookup_tcp", "5.2", typesLookup, false},
	{100, "bpf_tcp_check_syncookie", "5.2", typesTCXDP, true},
	{101, "bpf_sysctl_get_name", "5.2", typesSysctl, false},
	{102, "bpf_sysctl_get_current_value", "5.2", typesSysctl, false},
	{103, "bpf_sysctl_get_new_value", "5.2", typesSysctl, false},
	{104, "bpf_sysctl_set_new_value", "5.2", typesSysctl, false},
	{105, "bpf_strtol", "5.2", exceptLirc, false},
	{106, "bpf_strtoul", "5.2", exceptLirc, false},
	{107, "bpf_sk_storage_get", "5.2", []ebpf.ProgramType{ebpf.SchedCLS, ebpf.SchedACT, ebpf.CGroupSKB, ebpf.CGroupSock, ebpf.SockOps, ebpf.SkMsg, ebpf.CGroupSockAddr, ebpf.CGroupSockopt, ebpf.Tracing, ebpf.StructOps, ebpf.LSM, ebpf.Syscall}, false},
	{108, "bpf_sk_storage_delete", "5.2", []ebpf.ProgramType{ebpf.SchedCLS, ebpf.SchedACT, ebpf.CGroupSKB, ebpf.SockOps, ebpf.SkMsg, ebpf.CGroupSockAddr, ebpf.CGroupSockopt, ebpf.Tracing, ebpf.StructOps, ebpf.LSM, ebpf.Syscall}, false},
	{109, "bpf_send_signal", "5.3", exceptLirc, false},
	{110, "bpf_tcp_gen_syncookie", "5.3", typesTCXDP, true},
	{111, "bpf_skb_output", "5.5", typesObjects, true},
	{112, "bpf_probe_read_user", "5.5", exceptLirc, true},
	{113, "bpf_probe_read_kernel", "5.5", exceptLirc, true},
	{114, "bpf_probe_read_user_str", "5.5", exceptLirc, true},
	{115, "bpf_probe_read_kernel_str", "5.5", exceptLirc, true},
	{116, "bpf_tcp_send_ack", "5.6", []ebpf.ProgramType{ebpf.StructOps}, false},
	{117, "bpf_send_signal_thread", "5.6", exceptLirc, false},
	{118, "bpf_jiffies64", "5.6", exceptLirc, false},
	{119, "bpf_read_branch_records", "5.6", typesPerf, true},
	{120, "bpf_get_ns_current_pid_tgid", "5.7", exceptLirc, false},
	{121, "bpf_xdp_output", "5.7", typesObjects, true},
	{122, "bpf_get_netns_cookie", "5.7", []ebpf.ProgramType{ebpf.SocketFilter, ebpf.SchedCLS, ebpf.SchedACT, ebpf.CGroupSKB, ebpf.CGroupSock, ebpf.SockOps, ebpf.SkMsg, ebpf.CGroupSockAddr, ebpf.CGroupSockopt}, false},
	{123, "bpf_get_current_ancestor_cgroup_id", "5.7", exceptLirc, false},
	{124, "bpf_sk_assign", "5.7", []ebpf.ProgramType{ebpf.SchedCLS, ebpf.SchedACT, ebpf.SkLookup}, false},
	{125, "bpf_ktime_get_boot_ns", "5.8", nil, false},
	{126, "bpf_seq_printf", "5.8", typesTracing, true},
	{127, "bpf_seq_write", "5.8", typesTracing, true},
	{128, "bpf_sk_cgroup_id", "5.8", typesCgroupSKB, false},
	{129, "bpf_sk_ancestor_cgroup_id", "5.8", typesCgroupSKB, false},
	{130, "bpf_ringbuf_output", "5.8", exceptLirc, false},
	{131, "bpf_ringbuf_reserve", "5.8", exceptLirc, false},
	{132, "bpf_ringbuf_submit", "5.8", exceptLirc, false},
	{133, "bpf_ringbuf_discard", "5.8", exceptLirc, false},
	{134, "bpf_ringbuf_query", "5.8", exceptLirc, false},
	{135, "bpf_csum_level", "5.8", typesTCXmit, false},
	{136, "bpf_skc_to_tcp6_sock", "5.9", typesCast, false},
	{137, "bpf_skc_to_tcp_sock", "5.9", typesCast, false},
	{138, "bpf_skc_to_tcp_timewait_sock", "5.9", typesCast, false},
	{139, "bpf_skc_to_tcp_request_sock", "5.9", typesCast, false},
	{140, "bpf_skc_to_udp6_sock", "5.9", typesCast, false},
	{141, "bpf_get_task_stack", "5.9", exceptLirc, false},
	{142, "bpf_load_hdr_opt", "5.10", typesSockOps, false},
	{143, "bpf_store_hdr_opt", "5.10", typesSockOps, false},
	{144, "bpf_reserve_hdr_opt", "5.10", typesSockOps, false},
	{145, "bpf_inode_storage_get", "5.10", typesLSM, false},
	{146, "bpf_inode_storage_delete", "5.10", typesLSM, false},
	{147, "bpf_d_path", "5.10", typesObjects, false},
	{148, "bpf_copy_from_user", "5.10", exceptLirc, false},
	{149, "bpf_snprintf_btf", "5.10", exceptLirc, false},
	{150, "bpf_seq_printf_btf", "5.10", typesTracing, true},
	{151, "bpf_skb_cgroup_classid", "5.10", typesTC, false},
	{152, "bpf_redirect_neigh", "5.10", typesTC, false},
	{153, "bpf_per_cpu_ptr", "5.10", exceptLirc, false},
	{154, "bpf_this_cpu_ptr", "5.10", exceptLirc, false},
	{155, "bpf_redirect_peer", "5.10", typesTC, false},
	{156, "bpf_task_storage_get", "5.11", exceptLirc, false},
	{157, "bpf_task_storage_delete", "5.11", exceptLirc, false},
	{158, "bpf_get_current_task_btf", "5.11", exceptLirc, true},
	{159, "bpf_bprm_opts_set", "5.11", typesLSM, false},
	{160, "bpf_ktime_get_coarse_ns", "5.11", []ebpf.ProgramType{ebpf.SocketFilter, ebpf.SchedCLS, ebpf.SchedACT, ebpf.XDP, ebpf.CGroupSKB, ebpf.CGroupSock, ebpf.LWTIn, ebpf.LWTOut, ebpf.LWTXmit, ebpf.SockOps, ebpf.SkSKB, ebpf.SkMsg, ebpf.CGroupSockAddr, ebpf.LWTSeg6Local, ebpf.SkReuseport, ebpf.FlowDissector, ebpf.CGroupSysctl, ebpf.StructOps, ebpf.SkLookup}, false},
	{161, "bpf_ima_inode_hash", "5.11", typesLSM, false},
	{162, "bpf_sock_from_file", "5.11", typesObjects, false},
	{163, "bpf_check_mtu", "5.12", typesTCXDP, true},
	{164, "bpf_for_each_map_elem", "5.13", exceptLirc, false},
	{165, "bpf_snprintf", "5.13", exceptLirc, true},
	{166, "bpf_sys_bpf", "5.14", typesSyscall, false},
	{167, "bpf_btf_find_by_name_kind", "5.14", typesSyscall, false},
	{168, "bpf_sys_close", "5.14", typesSyscall, false},
	{169, "bpf_timer_init", "5.15", exceptLirc, true},
	{170, "bpf_timer_set_callback", "5.15", exceptLirc, true},
	{171, "bpf_timer_start", "5.15", exceptLirc, true},
	{172, "bpf_timer_cancel", "5.15", exceptLirc, true},
	{173, "bpf_get_func_ip", "5.15", typesTrace, true},
	{174, "bpf_get_attach_cookie", "5.15", []ebpf.ProgramType{ebpf.Kprobe, ebpf.TracePoint, ebpf.PerfEvent, ebpf.RawTracepoint, ebpf.RawTracepointWritable, ebpf.Tracing, ebpf.LSM}, false},
	{175, "bpf_task_pt_regs", "5.15", exceptLirc, true},
	{176, "bpf_get_branch_snapshot", "5.16", exceptLirc, true},
	{177, "bpf_trace_vprintk", "5.16", exceptLirc, true},
	{178, "bpf_skc_to_unix_sock", "5.16", typesCast, false},
	{179, "bpf_kallsyms_lookup_name", "5.16", typesSyscall, false},
	{180, "bpf_find_vma", "5.17", exceptLirc, false},
	{181, "bpf_loop", "5.17", exceptLirc, false},
	{182, "bpf_strncmp", "5.17", exceptLirc, false},
	{183, "bpf_get_func_arg", "5.17", typesTrampoline, false},
	{184, "bpf_get_func_ret", "5.17", typesTrampoline, false},
	{185, "bpf_get_func_arg_cnt", "5.17", typesTrampoline, false},
	{186, "bpf_get_retval", "5.18", typesRetval, false},
	{187, "bpf_set_retval", "5.18", typesRetval, false},
	{188, "bpf_xdp_get_buff_len", "5.18", []ebpf.ProgramType{ebpf.XDP, ebpf.Tracing, ebpf.LSM, ebpf.Syscall}, false},
	{189, "bpf_xdp_load_bytes", "5.18", typesXDP, false},
	{190, "bpf_xdp_store_bytes", "5.18", typesXDP, false},
	{191, "bpf_copy_from_user_task", "5.18", exceptLirc, true},
	{192, "bpf_skb_set_tstamp", "5.18", typesTC, false},
	{193, "bpf_ima_file_hash", "5.18", typesLSM, false},
	{194, "bpf_kptr_xchg", "5.19", exceptLirc, false},
	{195, "bpf_map_lookup_percpu_elem", "5.19", exceptLirc, false},
	{196, "bpf_skc_to_mptcp_sock", "5.19", typesCast, false},
	{197, "bpf_dynptr_from_mem", "5.19", exceptLirc, false},
	{198, "bpf_ringbuf_reserve_dynptr", "5.19", exceptLirc, false},
	{199, "bpf_ringbuf_submit_dynptr", "5.19", exceptLirc, false},
	{200, "bpf_ringbuf_discard_dynptr", "5.19", exceptLirc, false},
	{201, "bpf_dynptr_read", "5.19", exceptLirc, false},
	{202, "bpf_dynptr_write", "5.19", exceptLirc, false},
	{203, "bpf_dynptr_data", "5.19", exceptLirc, false},
	{204, "bpf_tcp_raw_gen_syncookie_ipv4", "6.0", typesTCXDP, true},
	{205, "bpf_tcp_raw_gen_syncookie_ipv6", "6.0", typesTCXDP, true},
	{206, "bpf_tcp_raw_check_syncookie_ipv4", "6.0", typesTCXDP, true},
	{207, "bpf_tcp_raw_check_syncookie_ipv6", "6.0", typesTCXDP, true},
	{208, "bpf_ktime_get_tai_ns", "6.1", exceptLirc, false},
	{209, "bpf_user_ringbuf_drain", "6.1", exceptLirc, false},
	{210, "bpf_cgrp_storage_get", "6.2", exceptLirc, false},
	{211, "bpf_cgrp_storage_delete", "6.2", exceptLirc, false},
}
