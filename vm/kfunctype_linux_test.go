package vm_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/vm/helper"
)

// kfuncAttach is an attach type for the program types that need one.
var kfuncAttach = map[ebpf.ProgramType]ebpf.AttachType{
	ebpf.CGroupSockAddr: ebpf.AttachCGroupInet4Connect, ebpf.CGroupSockopt: ebpf.AttachCGroupGetsockopt,
	ebpf.SkLookup: ebpf.AttachSkLookup, ebpf.Netfilter: ebpf.AttachNetfilter,
}

// TestKfuncTypes holds against Linux which program types may call the functions
// of each set. Where Linux refuses a program for another reason, that says
// nothing.
func TestKfuncTypes(t *testing.T) {
	testenv.KernelFollowed(t, "other types may call a function")
	told := 0
	for prog, function := range map[string]string{
		"generic": "bpf_task_from_pid", "tracing": "bpf_cpumask_create", "common": "bpf_strlen",
	} {
		for typ := ebpf.SocketFilter; typ <= ebpf.Netfilter; typ++ {
			p, err := program.Open(filepath.Join("testdata", "kfunc", "types.bpf.o"))
			if err != nil {
				t.Fatal(err)
			}
			spec := p.Spec.Programs[prog]
			spec.Type, spec.AttachType = typ, kfuncAttach[typ]
			if typ != ebpf.Syscall {
				spec.Flags = 0 // programs of most types cannot sleep
			}
			p.Spec.Programs = map[string]*ebpf.ProgramSpec{prog: spec}
			coll, err := ebpf.NewCollection(p.Spec)
			allowed := err == nil
			switch {
			case allowed:
				coll.Close()
			case !strings.Contains(err.Error(), "is not allowed"):
				continue
			}
			told++
			if typ == ebpf.RawTracepoint && function != "bpf_strlen" {
				allowed = true // since 7.2
			}
			if got := helper.Kfunc(function).AllowedIn(typ); got != allowed {
				t.Errorf("%s in programs of type %s: %t, and Linux says %t", function, typ, got, allowed)
			}
		}
	}
	t.Logf("Linux told of %d pairs", told)
}
