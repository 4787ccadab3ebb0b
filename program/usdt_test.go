package program_test

import (
	"testing"

	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/program"
)

// Objects that include usdt.bpf.h have weak maps, hidden functions and a .kconfig variable
// that no configuration has.
func TestReadUSDT(t *testing.T) {
	p, err := program.Open("../kernel/testdata/usdt.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"__bpf_usdt_specs", "__bpf_usdt_ip_to_spec_id"} {
		if p.Spec.Maps[name] == nil {
			t.Errorf("there is no map %s", name)
		}
	}
	linkage := make(map[string]btf.FuncLinkage)
	ins := p.Spec.Programs["keep"].Instructions
	for i := range ins {
		if f := btf.FuncMetadata(&ins[i]); f != nil {
			linkage[f.Name] = f.Linkage
		}
	}
	if linkage["keep"] != btf.GlobalFunc || linkage["bpf_usdt_arg"] != btf.StaticFunc || len(linkage) < 3 {
		t.Errorf("functions are linked so: %v; want keep to be global, and bpf_usdt_arg, which is hidden, static", linkage)
	}
}

// The map of .kconfig variables holds what the options say, and programs refer to it.
func TestResolveKconfig(t *testing.T) {
	for version, want := range map[uint32]byte{5<<16 | 10<<8: 0, 6<<16 | 1<<8: 1} {
		p, err := program.Open("../kernel/testdata/usdt.bpf.o")
		if err != nil {
			t.Fatal(err)
		}
		before := p.Spec.Programs["keep"]
		spec, err := program.Subset(p.Spec, "keep")
		if err != nil {
			t.Fatal(err)
		}
		if err := program.ResolveKconfig(spec, &program.LinkOptions{KernelVersion: version}); err != nil {
			t.Fatal(err)
		}
		m := spec.Maps[".kconfig"]
		if m == nil {
			t.Fatal("there is no map .kconfig")
		}
		if value, ok := m.Contents[0].Value.([]byte); !ok || len(value) != 1 || value[0] != want {
			t.Errorf("LINUX_HAS_BPF_COOKIE of %#x is %v, want %d", version, m.Contents[0].Value, want)
		}
		refs := 0
		for _, ins := range spec.Programs["keep"].Instructions {
			if ins.Reference() == ".kconfig" {
				refs++
			}
		}
		if refs == 0 || spec.Programs["keep"] == before {
			t.Errorf("the program, %p as before %p, refers %d times to the map", spec.Programs["keep"], before, refs)
		}
	}
}
