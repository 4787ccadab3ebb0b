package verifier

import (
	"slices"
	"strings"

	"github.com/skep-ebpf/skep/verifier/kernels"
)

// What Linux knows of the kernel's functions that programs are attached to, by their
// names (kernel/bpf/bpf_lsm.c, verifier.c).

// lsmPrefix begins the names of the functions that stand for hooks of LSM.
const lsmPrefix = "bpf_lsm_"

// notHooks are functions whose names begin so all the same.
const notHooks = `verify_prog is_sleepable_hook is_trusted hook_returns_errno get_retval_range
	find_cgroup_shim func_proto has_d_inode_locked`

func hookIn(hooks, function string) bool {
	name, ok := strings.CutPrefix(function, lsmPrefix)
	return ok && slices.Contains(strings.Fields(hooks), name)
}

// disabledHooks are those of LSM that programs cannot be attached to.
const disabledHooks = `vm_enough_memory inode_need_killpriv inode_getsecurity inode_listsecurity
	inode_copy_up_xattr getselfattr getprocattr setprocattr key_getsecurity audit_rule_match xfrm_decode_session
	ismaclabel file_alloc_security`

// sleepableHooks are those at which programs may sleep (sleepable_lsm_hooks), by the
// versions of Linux that have them so; until 0: to this day.
var sleepableHooks = []struct {
	since, until kernels.Version
	hooks        string
}{
	{hooks: "bprm_committed_creds"},
	{since: kernels.V(5, 11), hooks: `bpf bpf_map bpf_map_create bpf_map_free bpf_prog bpf_prog_load bpf_token_create bpf_token_free
		bpf_token_cmd bpf_token_capable bprm_check_security bprm_committing_creds bprm_creds_for_exec
		bprm_creds_from_file capget capset cred_prepare file_ioctl file_lock file_open file_post_open
		file_receive inode_create inode_free_security inode_getattr inode_getxattr inode_mknod
		inode_need_killpriv inode_post_setxattr inode_readlink inode_rename inode_rmdir inode_setattr
		inode_setxattr inode_symlink inode_unlink kernel_module_request kernel_read_file
		kernfs_init_security mmap_file netlink_send path_notify release_secctx sb_alloc_security
		sb_eat_lsm_opts sb_kern_mount sb_mount sb_remount sb_set_mnt_opts sb_show_options sb_statfs
		sb_umount settime socket_accept socket_bind socket_connect socket_create socket_getpeername
		socket_getpeersec_dgram socket_getsockname socket_getsockopt socket_listen socket_post_create
		socket_recvmsg socket_sendmsg socket_shutdown socket_socketpair syslog task_alloc task_prctl
		task_setscheduler userns_create bpf_map_alloc_security bpf_map_free_security`},
	{since: kernels.V(5, 11), until: kernels.V(6, 2), hooks: "inet_conn_established key_free"},
	{since: kernels.V(6, 12), hooks: `path_unlink path_mkdir path_rmdir path_truncate path_symlink path_link path_rename path_chmod
		path_chown`},
	{since: kernels.V(6, 12), until: kernels.V(7, 0), hooks: "bpf_prog_free current_getsecid_subj task_getsecid_obj"},
	{since: kernels.V(7, 0), hooks: "inode_post_removexattr inode_removexattr bdev_alloc_security bdev_setintegrity"},
}

func disabledHook(function string) bool { return hookIn(disabledHooks, function) }

// sleepableHook reports whether programs at a hook may sleep.
func (c *checker) sleepableHook(function string) bool {
	v := c.kernel.Version()
	for _, s := range sleepableHooks {
		if v >= s.since && (s.until == 0 || v < s.until) && hookIn(s.hooks, function) {
			return true
		}
	}
	return false
}

// deniedFunctions are those that tracing programs cannot be attached to.
var deniedFunctions = []string{
	"___migrate_enable", "migrate_disable", "migrate_enable", "rcu_read_unlock_strict", "preempt_count_add",
	"preempt_count_sub", "__rcu_read_lock", "__rcu_read_unlock",
}

// endlessFunctions are those that do not return, behind which nothing runs.
var endlessFunctions = []string{
	"__ia32_sys_exit", "__ia32_sys_exit_group", "__kunit_abort", "kunit_try_catch_throw",
	"__module_put_and_kthread_exit", "__x64_sys_exit", "__x64_sys_exit_group", "do_exit", "do_group_exit",
	"kthread_complete_and_exit", "kthread_exit", "make_task_dead",
}

// atomicFunctions are those of the list for error injection that are called where
// nothing may sleep.
var atomicFunctions = []string{"__filemap_add_folio", "should_fail_alloc_page", "should_failslab"}

// injectableFunctions are the functions besides system calls that the kernel lets fail
// on purpose (ALLOW_ERROR_INJECTION).
var injectableFunctions = []string{
	"__filemap_add_folio", "btrfs_check_leaf", "btrfs_check_node", "btrfs_cow_block", "btrfs_search_slot",
	"btrfs_should_cancel_balance", "io_ctl_init", "nsim_setup_tc", "open_ctree", "page_pool_alloc_netmems",
	"should_fail_alloc_page", "should_fail_bio", "should_fail_net_realloc_skb", "should_failslab",
}

// modifiableFunctions are those that are there to be modified.
var modifiableFunctions = []string{
	"bpf_modify_return_test", "bpf_modify_return_test2", "bpf_fentry_test1", "update_socket_protocol",
}
