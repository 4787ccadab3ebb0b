package verifier

import (
	"slices"
	"strings"

	"github.com/cilium/ebpf"
)

// opGroup are kernel functions that some operations of a struct_ops structure may call,
// and others not.
type opGroup uint8

// The groups: of queueing disciplines, and of schedulers.
const (
	opEnqueue opGroup = 1 << iota
	opDequeue
	opUnlocked
	opInit
	opCPURelease
	opDispatch
	opSelectCPU
	opAlways // whatever the operation
)

// opKfuncs say which operations may call which kernel functions of a structure's own.
type opKfuncs struct {
	// structs are the structures; programs of others may not call the functions.
	structs    []string
	operations map[string]opGroup
	functions  map[string]opGroup
	// others is the group of functions with this prefix that functions does not name.
	prefix string
	others opGroup
}

var qdiscKfuncs = &opKfuncs{
	structs:    []string{"Qdisc_ops"},
	operations: map[string]opGroup{"enqueue": opEnqueue, "dequeue": opDequeue},
	functions: map[string]opGroup{
		"bpf_skb_get_hash": opAlways, "bpf_kfree_skb": opAlways, "bpf_dynptr_from_skb": opAlways,
		"bpf_qdisc_skb_drop": opEnqueue, "bpf_qdisc_watchdog_schedule": opEnqueue | opDequeue,
		"bpf_qdisc_bstats_update": opDequeue,
	},
	prefix: "bpf_qdisc_", // the kernel's own, which it adds to programs
}

var schedulerKfuncs = &opKfuncs{
	structs: []string{"sched_ext_ops", "sched_ext_ops_cid"},
	operations: map[string]opGroup{
		"select_cpu": opSelectCPU | opEnqueue, "enqueue": opSelectCPU | opEnqueue, "dispatch": opEnqueue | opDispatch,
		"cpu_release": opCPURelease, "init": opUnlocked | opInit, "init_task": opUnlocked, "exit": opUnlocked,
		"dump": opUnlocked, "cgroup_init": opUnlocked, "cgroup_exit": opUnlocked, "cgroup_prep_move": opUnlocked,
		"cgroup_cancel_move": opUnlocked, "cgroup_set_weight": opUnlocked, "cgroup_set_bandwidth": opUnlocked,
		"cgroup_set_idle": opUnlocked, "sub_attach": opUnlocked, "sub_detach": opUnlocked,
		"cpu_online": opUnlocked, "cpu_offline": opUnlocked,
	},
	functions: map[string]opGroup{
		"scx_bpf_create_dsq": opUnlocked, "scx_bpf_dsq_move": opDispatch | opUnlocked,
		"scx_bpf_dsq_move_vtime": opDispatch | opUnlocked, "scx_bpf_dsq_move_set_slice": opDispatch | opUnlocked,
		"scx_bpf_dsq_move_set_vtime": opDispatch | opUnlocked,
		"scx_bpf_select_cpu_dfl":     opUnlocked | opSelectCPU, "scx_bpf_select_cpu_and": opUnlocked | opSelectCPU,
		"__scx_bpf_select_cpu_and": opUnlocked | opSelectCPU, "scx_bpf_cid_override": opInit,
		"scx_bpf_dsq_insert": opEnqueue, "scx_bpf_dsq_insert___v2": opEnqueue, "scx_bpf_dsq_insert_vtime": opEnqueue,
		"__scx_bpf_dsq_insert_vtime": opEnqueue, "scx_bpf_dispatch_nr_slots": opDispatch,
		"scx_bpf_dispatch_cancel": opDispatch, "scx_bpf_dsq_move_to_local": opDispatch,
		"scx_bpf_dsq_move_to_local___v2": opDispatch, "scx_bpf_sub_dispatch": opDispatch,
		"scx_bpf_reenqueue_local": opCPURelease,
	},
	prefix: "scx_bpf_", others: opAlways,
}

// operationMay reports whether the operation that the program is may call a kernel
// function, as the structure's owner has it.
func (c *checker) operationMay(name string) bool {
	if c.img.Type != ebpf.StructOps || c.target == nil || c.target.ops == nil {
		return true
	}
	rules := []*opKfuncs{qdiscKfuncs}
	if c.since(7, 1) { // before, schedulers found out when they ran
		rules = append(rules, schedulerKfuncs)
	}
	for _, r := range rules {
		group, known := r.functions[name]
		if !known && !strings.HasPrefix(name, r.prefix) {
			continue
		}
		if !known {
			group = r.others
		}
		return slices.Contains(r.structs, c.target.ops.Name) && group&(r.operations[c.target.name]|opAlways) != 0
	}
	return true
}

// needsDevice reports whether a kernel function asks a device about a packet.
func needsDevice(name string) bool { return strings.HasPrefix(name, "bpf_xdp_metadata_rx_") }

// deviceBound reports whether the program was loaded for one device.
func (c *checker) deviceBound() bool {
	const boundOnly = 1 << 6 // BPF_F_XDP_DEV_BOUND_ONLY
	return c.img.Flags&boundOnly != 0
}
