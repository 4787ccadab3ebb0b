package verifier

import (
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier/kernels"
)

func TestOperationMay(t *testing.T) {
	for _, test := range []struct {
		kernel, ops, operation, kfunc string
		want                          bool
	}{
		{"7.2", "Qdisc_ops", "enqueue", "bpf_qdisc_skb_drop", true},
		{"7.2", "Qdisc_ops", "dequeue", "bpf_qdisc_skb_drop", false},
		{"7.2", "Qdisc_ops", "init", "bpf_kfree_skb", true},
		{"7.2", "Qdisc_ops", "init", "bpf_qdisc_init_prologue", false},
		{"7.2", "tcp_congestion_ops", "init", "bpf_kfree_skb", false},
		{"7.2", "tcp_congestion_ops", "init", "tcp_reno_ssthresh", true},
		{"7.2", "sched_ext_ops", "dispatch", "scx_bpf_dsq_insert", true},
		{"7.2", "sched_ext_ops", "running", "scx_bpf_dsq_insert", false},
		{"7.2", "sched_ext_ops", "running", "scx_bpf_now", true},
		{"7.2", "tcp_congestion_ops", "init", "scx_bpf_now", false},
		{"6.12", "sched_ext_ops", "running", "scx_bpf_dsq_insert", true},
	} {
		kernel, err := kernels.Get(test.kernel)
		if err != nil {
			t.Fatal(err)
		}
		c := &checker{
			img: &program.Image{Type: ebpf.StructOps}, kernel: kernel,
			target: &target{name: test.operation, ops: &btf.Struct{Name: test.ops}},
		}
		if got := c.operationMay(test.kfunc); got != test.want {
			t.Errorf("%s: %s:%s calls %s: %v", test.kernel, test.ops, test.operation, test.kfunc, got)
		}
	}
}
