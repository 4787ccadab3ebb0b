package helper

const (
	wantsKeys     = "needs the keys of the kernel and of users, of which a world does not tell"
	wantsAccounts = "needs the accounts of memory cgroups, of which a world does not tell"
	wantsWakeups  = "needs the kernel's list of what wakes a system up"
)

// RefusedKfuncs says why the machine does not have some of Linux's kernel functions, by
// their names. A program that calls one is refused with the reason. Of others that the
// machine does not have it knows nothing.
var RefusedKfuncs = map[string]string{
	"bpf_lookup_user_key":        wantsKeys,
	"bpf_lookup_system_key":      wantsKeys,
	"bpf_key_put":                wantsKeys,
	"bpf_verify_pkcs7_signature": wantsKeys,

	"bpf_get_root_mem_cgroup":      wantsAccounts,
	"bpf_get_mem_cgroup":           wantsAccounts,
	"bpf_put_mem_cgroup":           wantsAccounts,
	"bpf_mem_cgroup_usage":         wantsAccounts,
	"bpf_mem_cgroup_page_state":    wantsAccounts,
	"bpf_mem_cgroup_vm_events":     wantsAccounts,
	"bpf_mem_cgroup_memory_events": wantsAccounts,
	"bpf_mem_cgroup_flush_stats":   wantsAccounts,

	"bpf_wakeup_sources_read_lock":   wantsWakeups,
	"bpf_wakeup_sources_read_unlock": wantsWakeups,
	"bpf_wakeup_sources_get_head":    wantsWakeups,

	"bpf_get_lowcore": "gives what mainframes (s390) alone have",
}
