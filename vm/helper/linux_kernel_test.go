package helper_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/vm/helper"
)

// askable are the program types that load without a place to attach to, and the
// attach types where they need one.
var askable = map[ebpf.ProgramType][]ebpf.AttachType{
	ebpf.SocketFilter: {0}, ebpf.Kprobe: {0}, ebpf.SchedCLS: {0}, ebpf.SchedACT: {0}, ebpf.TracePoint: {0}, ebpf.XDP: {0},
	ebpf.PerfEvent: {0}, ebpf.CGroupSKB: {0}, ebpf.CGroupSock: {ebpf.AttachCGroupInetSockCreate},
	ebpf.LWTIn: {0}, ebpf.LWTOut: {0}, ebpf.LWTXmit: {0}, ebpf.SockOps: {ebpf.AttachCGroupSockOps}, ebpf.SkSKB: {0},
	ebpf.CGroupDevice: {ebpf.AttachCGroupDevice}, ebpf.SkMsg: {ebpf.AttachSkMsgVerdict}, ebpf.RawTracepoint: {0},
	ebpf.CGroupSockAddr: {ebpf.AttachCGroupInet4Connect}, ebpf.LWTSeg6Local: {0},
	ebpf.SkReuseport: {ebpf.AttachSkReuseportSelect}, ebpf.FlowDissector: {ebpf.AttachFlowDissector},
	ebpf.CGroupSysctl: {ebpf.AttachCGroupSysctl}, ebpf.RawTracepointWritable: {0},
	ebpf.CGroupSockopt: {ebpf.AttachCGroupGetsockopt, ebpf.AttachCGroupSetsockopt},
	ebpf.SkLookup:      {ebpf.AttachSkLookup}, ebpf.Syscall: {0}, ebpf.Netfilter: {ebpf.AttachNetfilter},
}

// TestTableAsInKernel asks Linux's verifier for every pair of a helper and a
// program type.
func TestTableAsInKernel(t *testing.T) {
	testenv.KernelFollowed(t, "helpers are offered to other types")
	for _, e := range helper.Linux() {
		switch e.Name {
		case "bpf_probe_write_user", "bpf_override_return":
			continue // a matter of the kernel's configuration
		}
		h := helper.Helper{Types: e.Types}
		for typ, attaches := range askable {
			offered, gpl := false, false
			for _, attach := range attaches {
				o, g := offers(t, typ, attach, e.ID)
				offered, gpl = offered || o, gpl || g
			}
			if e.Name == "bpf_get_stackid" && typ == ebpf.PerfEvent {
				gpl = true // another helper of this name, which Linux does not restrict
			}
			if offered != h.AllowedIn(typ) || offered && gpl != e.GPL {
				t.Errorf("%s in %v: offered %v, for the GPL only %v; the kernel says %v and %v",
					e.Name, typ, h.AllowedIn(typ), e.GPL, offered, gpl)
			}
		}
	}
}

// offers asks whether programs of a type may call a helper, and whether only
// those under the GPL.
func offers(t *testing.T, typ ebpf.ProgramType, attach ebpf.AttachType, id uint32) (offered, gpl bool) {
	spec := &ebpf.ProgramSpec{Type: typ, AttachType: attach, License: "proprietary", Instructions: asm.Instructions{
		asm.BuiltinFunc(id).Call(), asm.Mov.Imm(asm.R0, 0), asm.Return(),
	}}
	if typ == ebpf.Syscall {
		spec.Flags = 1 << 4 // BPF_F_SLEEPABLE
	}
	prog, err := ebpf.NewProgramWithOptions(spec, ebpf.ProgramOptions{LogLevel: ebpf.LogLevelBranch})
	if err == nil {
		prog.Close()
		return true, false
	}
	var refused *ebpf.VerifierError
	if !errors.As(err, &refused) {
		t.Fatalf("%v calling helper %d: %v", typ, id, err)
	}
	log := strings.Join(refused.Log, "\n")
	return !strings.Contains(log, "cannot use helper") && !strings.Contains(log, "unknown func"), strings.Contains(log, "GPL-restricted")
}

func TestTable(t *testing.T) {
	for i, e := range helper.Linux() {
		if e.ID != uint32(i+1) || !strings.HasPrefix(e.Name, "bpf_") || e.Since == "" {
			t.Errorf("entry %d: %+v", i, e)
		}
		if h := helper.ByID(e.ID); h != nil && h.Name != e.Name {
			t.Errorf("helper %d is registered as %s; Linux calls it %s", e.ID, h.Name, e.Name)
		}
	}
	if _, ok := helper.FromLinux(0); ok {
		t.Error("there is a helper 0")
	}
}
