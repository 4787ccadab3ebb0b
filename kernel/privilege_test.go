package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/verifier/kernels"
)

func TestNeeds(t *testing.T) {
	point := func(name string) hook.Point {
		p, err := hook.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	spec := &ebpf.CollectionSpec{
		Programs: map[string]*ebpf.ProgramSpec{
			"filter": {Type: ebpf.SocketFilter},
			"poke": {Type: ebpf.Kprobe, Instructions: asm.Instructions{
				asm.FnProbeReadUser.Call(), asm.FnProbeWriteUser.Call(), asm.FnProbeWriteUser.Call(),
			}},
			"crash": {Type: ebpf.Syscall, Instructions: asm.Instructions{
				asm.Instruction{OpCode: asm.OpCode(asm.JumpClass).SetJumpOp(asm.Call), Src: asm.PseudoKfuncCall}.WithReference("crash_kexec"),
			}},
		},
		Maps: map[string]*ebpf.MapSpec{
			"counts": {Type: ebpf.LRUHash}, "events": {Type: ebpf.PerfEventArray}, "ports": {Type: ebpf.DevMap},
		},
	}
	got := Needs(spec, []hook.Attachment{{Program: "filter", Point: point("socket/left")}, {Program: "poke", Point: point("fentry/do_unlinkat")}})
	want := []Need{
		{"program crash (Syscall)", kernels.CapBPF},
		{"program crash, which calls crash_kexec,", kernels.CapSysBoot},
		{"program filter (SocketFilter)", kernels.CapBPF},
		{"program poke (Kprobe)", kernels.CapBPF | kernels.CapPerfmon},
		{"program poke, which calls bpf_probe_write_user,", kernels.CapSysAdmin},
		{"reading map events (PerfEventArray)", kernels.CapPerfmon},
		{"map ports (DevMap)", kernels.CapNetAdmin},
		{"attaching filter at socket/left", kernels.CapNetRaw},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMissingCapabilities(t *testing.T) {
	needs := []Need{
		{"program a (XDP)", kernels.CapBPF | kernels.CapNetAdmin},
		{"program b (XDP)", kernels.CapBPF | kernels.CapNetAdmin},
		{"reading map c (PerfEventArray)", kernels.CapPerfmon},
	}
	const remedy = ", which this process does not have: run skep with sudo, or give it CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN once: sudo setcap cap_bpf,cap_perfmon,cap_net_admin+ep $(command -v skep)"
	for _, tc := range []struct {
		has  kernels.Caps
		want string
	}{
		{0, "program a (XDP) needs CAP_BPF and CAP_NET_ADMIN; reading map c (PerfEventArray) needs CAP_PERFMON" + remedy},
		{kernels.CapBPF | kernels.CapPerfmon, "program a (XDP) needs CAP_NET_ADMIN" + remedy},
		{kernels.CapSysAdmin, ""},
	} {
		if diff := cmp.Diff(tc.want, missing(needs, tc.has)); diff != "" {
			t.Errorf("with %s (-want +got):\n%s", tc.has, diff)
		}
	}
}

// What is no matter of permission stays as it is.
func TestDenied(t *testing.T) {
	other := errors.New("no such interface")
	if err := denied(other, nil); err != other {
		t.Errorf("%v became %v", other, err)
	}
	if err := denied(nil, nil); err != nil {
		t.Errorf("nothing became %v", err)
	}
	if err := denied(fmt.Errorf("load: %w", fs.ErrPermission), nil); !errors.Is(err, fs.ErrPermission) || err.Error() == "load: permission denied" {
		t.Errorf("a refused permission became %v", err)
	}
}
