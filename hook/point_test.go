package hook_test

import (
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/hook"
)

func TestParse(t *testing.T) {
	for _, tc := range []struct{ in, kind, target string }{
		{"xdp", "xdp", ""},
		{"xdp:veth0", "xdp", "veth0"},
		{"xdp/veth0", "xdp", "veth0"},
		{"kprobe/do_unlinkat+0x10", "kprobe", "do_unlinkat+0x10"},
		{"tp/sched/sched_switch", "tracepoint", "sched/sched_switch"},
		{"uprobe//usr/bin/bash:readline", "uprobe", "/usr/bin/bash:readline"},
		{"uprobe:/usr/bin/bash:readline", "uprobe", "/usr/bin/bash:readline"},
		{"tc/ingress/veth0", "tcx/ingress", "veth0"},
		{"tc:veth0", "clsact", "veth0"},
		{"tcx:ingress/veth0", "tcx/ingress", "veth0"},
		{"classifier/ingress/veth0@7", "clsact", "ingress/veth0@7"},
		{"cgroup/connect_unix//sys/fs/cgroup/a", "cgroup/connect_unix", "/sys/fs/cgroup/a"},
		{"cgroup/sock", "cgroup/sock_create", ""},
		{"cgroup/sock_release", "cgroup/sock_release", ""},
		{"sk_skb/verdict:sockets", "sk_skb/verdict", "sockets"},
	} {
		p, err := hook.Parse(tc.in)
		if err != nil || p.Kind.Name != tc.kind || p.Target != tc.target {
			t.Errorf("Parse(%q): %v %q, %v, want %s %q", tc.in, p.Kind, p.Target, err, tc.kind, tc.target)
		}
	}
	for in, want := range map[string]string{
		"kprob/x": "did you mean kprobe?",
		"":        "there is no kind of hooks",
		"xdpx":    "did you mean xdp?",
		"tcx:lo":  "there is no kind of hooks tcx; there is tcx/egress, tcx/ingress",
	} {
		if _, err := hook.Parse(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q): error %v, want one with %q", in, err, want)
		}
	}
}

func TestExamplesParse(t *testing.T) {
	for _, k := range hook.Kinds() {
		p, err := hook.Parse(k.Example)
		if err != nil || p.Kind != k {
			t.Errorf("%s: the example %q is of kind %v, %v", k.Name, k.Example, p.Kind, err)
		}
		if (p.Target == "") != (k.Wants == "" || k.Optional && k.Name == k.Example) {
			t.Errorf("%s: wants %q, and its example %q has the target %q", k.Name, k.Wants, k.Example, p.Target)
		}
	}
}

func TestOf(t *testing.T) {
	for section, want := range map[string]string{
		"?fentry.s/do_unlinkat":    "fentry/do_unlinkat",
		"xdp.frags":                "xdp",
		"uprobe.multi.s//bin/sh:*": "uprobe.multi//bin/sh:*",
		"raw_tp/sys_enter":         "raw_tracepoint/sys_enter",
		"cgroup_skb/egress":        "cgroup_skb/egress",
	} {
		p, err := hook.Of(&ebpf.ProgramSpec{Name: "p", SectionName: section})
		if err != nil || p.String() != want {
			t.Errorf("Of(%q) = %v, %v, want %s", section, p, err, want)
		}
	}
	for section, want := range map[string]string{
		".text":           `its section ".text" does not say where it is attached: say it with --hook`,
		"?kprobs.s/vfs_*": `its section "?kprobs.s/vfs_*" does not say where it is attached: say it with --hook; did you mean kprobe?`,
	} {
		if _, err := hook.Of(&ebpf.ProgramSpec{Name: "p", SectionName: section}); err == nil || err.Error() != "program p: "+want {
			t.Errorf("Of(%q): %v, want %s", section, err, want)
		}
	}
}

func TestTakes(t *testing.T) {
	for _, tc := range []struct {
		kind string
		typ  ebpf.ProgramType
		want bool
	}{
		{"xdp", ebpf.XDP, true},
		{"xdp", ebpf.SchedCLS, false},
		{"xdp", ebpf.UnspecifiedProgram, true},
		{"kprobe", ebpf.XDP, false},
		{"tcx/ingress", ebpf.SocketFilter, true},
		{"raw_tracepoint.w", ebpf.RawTracepoint, true},
		{"raw_tracepoint", ebpf.Kprobe, false},
	} {
		if got := hook.Find(tc.kind).Takes(tc.typ); got != tc.want {
			t.Errorf("%s takes %v: %t, want %t", tc.kind, tc.typ, got, tc.want)
		}
	}
}

func TestAim(t *testing.T) {
	for name, want := range map[string]ebpf.ProgramSpec{
		"tcx/egress/veth0": {Type: ebpf.SchedCLS, AttachType: ebpf.AttachTCXEgress, AttachTo: "veth0"},
		"timer/10ms":       {Type: ebpf.Syscall, AttachTo: "10ms", Flags: 1 << 4}, // BPF_F_SLEEPABLE
	} {
		at, err := hook.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		var p ebpf.ProgramSpec
		at.Aim(&p)
		if p.Type != want.Type || p.AttachType != want.AttachType || p.AttachTo != want.AttachTo || p.Flags != want.Flags {
			t.Errorf("%s: aimed at %v, want %v", name, p, want)
		}
	}
}
