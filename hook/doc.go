// Package hook names the places where programs are attached. The names are those
// of sections: what follows SEC in a program's source may follow --hook on the
// command line, and means the same on both machines.
//
//	kprobe/do_unlinkat        xdp/veth0            cgroup_skb/ingress//sys/fs/cgroup/mine
//	fentry/tcp_connect        tcx/ingress/veth0    uprobe//usr/bin/bash:readline
//	tracepoint/sched/sched_switch                  perf_event/software/cpu-clock@99hz
//
// A [Point] is such a name, taken apart. What it takes to attach there is for the
// machines to know.
package hook
