package kernel

import (
	"testing"

	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/program"
)

// TestKfuncFlavours loads a scheduler, some of whose functions Linux 7 has twice: as
// scx_bpf_dsq_insert and as its ___v2.
func TestKfuncFlavours(t *testing.T) {
	testenv.Kernel(t)
	types, err := runningTypes.Kernel()
	if err != nil {
		t.Skip(err)
	}
	if !hasType[*btf.Func](types, "scx_bpf_dsq_insert") {
		t.Skip("this kernel has no scheduler of programs with scx_bpf_dsq_insert")
	}
	p, err := program.Open("../vm/attached/testdata/sched.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Load(p, new(Options))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if len(c.Programs) != len(p.Spec.Programs) {
		t.Errorf("%d programs are loaded, want %d", len(c.Programs), len(p.Spec.Programs))
	}
}
