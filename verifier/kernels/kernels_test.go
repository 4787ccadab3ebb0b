package kernels_test

import (
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/verifier/kernels"
)

func kernel(t *testing.T, name string) *kernels.Kernel {
	t.Helper()
	k, err := kernels.Get(name)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestGet(t *testing.T) {
	tests := []struct{ name, want, err string }{
		{"6.12", "6.12", ""},
		{"v5.19", "5.19", ""},
		{"6.1.176-amd64", "6.1", ""},
		{"any", "any", ""},
		{"6.20", "", "no facts about Linux 6.20: the nearest is 6.18; there is 5.4, 5.10, 5.15, 6.1, 6.6, 6.12, 6.18, 7.2, each version between them, any and host"},
		{"4.19", "", "no facts about Linux 4.19: the nearest is 5.4; there is 5.4, 5.10, 5.15, 6.1, 6.6, 6.12, 6.18, 7.2, each version between them, any and host"},
		{"latest", "", `unknown kernel "latest": there is 5.4, 5.10, 5.15, 6.1, 6.6, 6.12, 6.18, 7.2, each version between them, any and host`},
	}
	for _, test := range tests {
		k, err := kernels.Get(test.name)
		switch {
		case err != nil && err.Error() != test.err:
			t.Errorf("%s: %v; want %s", test.name, err, test.err)
		case err == nil && k.String() != test.want:
			t.Errorf("%s: got %v; want %q", test.name, k, test.want)
		}
	}
}

// answers are questions with what Linux's history says.
func TestAnswers(t *testing.T) {
	type answer struct {
		since kernels.Version
		ok    bool
	}
	of := func(since kernels.Version, ok bool) answer { return answer{since, ok} }
	k510, k61, k72 := kernel(t, "5.10"), kernel(t, "6.1"), kernel(t, "7.2")
	tests := []struct {
		name string
		got  answer
		want answer
	}{
		{"bpf_loop in 5.10", of(k510.Helper(ebpf.XDP, 0, 181)), answer{kernels.V(5, 17), false}},
		{"bpf_loop in 6.1", of(k61.Helper(ebpf.XDP, 0, 181)), answer{kernels.V(5, 17), true}},
		{"bpf_skb_pull_data in XDP", of(k72.Helper(ebpf.XDP, 0, 39)), answer{0, false}},
		{"no helper 999", of(k72.Helper(ebpf.XDP, 0, 999)), answer{0, false}},
		{"bpf_task_from_pid in 6.1", of(k61.Kfunc(ebpf.Tracing, 0, "bpf_task_from_pid")), answer{kernels.V(6, 2), false}},
		{"bpf_task_from_pid of XDP in 7.2", of(k72.Kfunc(ebpf.XDP, 0, "bpf_task_from_pid")), answer{kernels.V(6, 7), true}},
		{"gone since 7.0", of(k72.Kfunc(ebpf.XDP, 0, "bpf_wq_set_callback_impl")), answer{0, false}},
		{"arena in 6.1", of(k61.MapType(ebpf.Arena)), answer{kernels.V(6, 9), false}},
		{"ring buffer in 5.10", of(k510.MapType(ebpf.RingBuf)), answer{kernels.V(5, 8), true}},
		{"mmapable array", of(k510.MapFlags(ebpf.Array, 1<<10)), answer{kernels.V(5, 5), true}},
		{"mmapable hash", of(k72.MapFlags(ebpf.Hash, 1<<10)), answer{0, false}},
		{"netfilter in 6.1", of(k61.ProgType(ebpf.Netfilter)), answer{kernels.V(6, 4), false}},
		{"XDP on a CPU map", of(k510.AttachType(ebpf.XDP, ebpf.AttachXDPCPUMap)), answer{kernels.V(5, 9), true}},
		{"TCX in 5.10, for clsact", of(k510.AttachType(ebpf.SchedCLS, ebpf.AttachTCXIngress)), answer{kernels.V(6, 6), true}},
		{"recvmsg on Unix sockets in 6.1", of(k61.AttachType(ebpf.CGroupSockAddr, ebpf.AttachCgroupUnixRecvmsg)), answer{kernels.V(6, 7), false}},
		{"sleepable uprobe", of(k510.Sleepable(ebpf.Kprobe, 0)), answer{kernels.V(6, 0), false}},
		{"timer in an LRU hash", of(k61.MapField(ebpf.LRUHash, kernels.TimerField)), answer{kernels.V(5, 15), true}},
		{"bounded loops", of(k510.Has(kernels.BoundedLoops)), answer{kernels.V(5, 3), true}},
		{"a late 6.1", of(k61.Has(kernels.UninitStackReads)), answer{kernels.V(6, 3), true}},
		{"may_goto", of(k510.Has(kernels.MayGoto)), answer{kernels.V(6, 9), false}},
	}
	for _, test := range tests {
		if test.got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, test.got, test.want)
		}
	}
}

// TestTables reads every table whole.
func TestTables(t *testing.T) {
	if n := len(kernels.Helpers()); n != 211 {
		t.Errorf("there are %d helpers", n)
	}
	if n := len(kernels.Kfuncs()); n < 300 {
		t.Errorf("there are %d kernel functions", n)
	}
	for _, h := range kernels.Helpers() {
		checkUsers(t, h.Name, h.Users())
	}
	for _, f := range kernels.Kfuncs() {
		checkUsers(t, f.Name, f.Users())
	}
	for _, f := range kernels.Features() {
		if f.String() == "" || f.Means() == "" || f.Since() == 0 {
			t.Errorf("feature %d has no row", f)
		}
	}
	for _, l := range kernels.Limits() {
		for _, k := range kernels.All() {
			if l.String() == "" || l.Means() == "" || k.Limit(l) == 0 {
				t.Errorf("limit %d of %v has no value", l, k)
			}
		}
	}
}

// checkUsers wants somebody to use a thing, in some version.
func checkUsers(t *testing.T, name string, users []kernels.User) {
	if len(users) == 0 {
		t.Errorf("%s is of no use", name)
	}
	for _, u := range users {
		if since, ok := u.In(0); since == 0 || ok {
			t.Errorf("%s: %s since no version", name, kernels.ProgName(u.Prog))
		}
	}
}
