package program

import (
	"bytes"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/isa"
)

var someConfig = map[string]string{
	"CONFIG_HZ":               "250",
	"CONFIG_BPF":              "y",
	"CONFIG_IPV6":             "m",
	"CONFIG_DEFAULT_HOSTNAME": `"(none) and more"`,
}

func TestKconfig(t *testing.T) {
	spec := open(t, "externs.o").Spec
	img := link(t, spec, "config", &LinkOptions{KernelVersion: 5<<16 | 10<<8 | 3, Kconfig: someConfig})
	if diff := cmp.Diff([]string{".kconfig"}, img.Maps); diff != "" {
		t.Errorf("maps (-want +got):\n%s", diff)
	}
	m := img.Data[".kconfig"]
	if m == nil || m.Type != ebpf.Array || m.Flags != flagReadOnlyProg {
		t.Fatalf("map is %v", m)
	}
	value := m.Contents[0].Value.([]byte)
	want := map[string][]byte{
		"LINUX_KERNEL_VERSION":    {3, 10, 5, 0},
		"CONFIG_HZ":               {250, 0, 0, 0, 0, 0, 0, 0},
		"CONFIG_BPF":              {1},
		"CONFIG_IPV6":             {2, 0, 0, 0},
		"CONFIG_DEFAULT_HOSTNAME": []byte("(none) \x00"),
		"CONFIG_SKEP_HAS_NO_SUCH": {0, 0, 0, 0},
	}
	vars := variables(m.Value.(*btf.Datasec))
	got := make(map[string][]byte)
	for name, v := range vars {
		got[name] = value[v.Offset : v.Offset+v.Size]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	for i, ins := range img.Insns {
		if ins.IsWide() && (ins.Src != isa.PseudoMapValue || ins.Imm != 0 || int(img.Insns[i+1].Imm) >= len(value)) {
			t.Errorf("instruction %d is %s", i, img.Text(i))
		}
	}
}

func TestKconfigErrors(t *testing.T) {
	spec := open(t, "externs.o").Spec
	tests := map[string]struct{ value, want string }{
		"CONFIG_HZ":               {"fast", `CONFIG_HZ=fast: "fast" is not a number from 0 to 18446744073709551615`},
		"CONFIG_BPF":              {"2", "CONFIG_BPF=2"},
		"CONFIG_IPV6":             {"maybe", "takes y, m or n"},
		"CONFIG_DEFAULT_HOSTNAME": {"5", "is a string"},
	}
	for name, test := range tests {
		config := maps.Clone(someConfig)
		config[name] = test.value
		_, err := Link(spec, "config", &LinkOptions{Kconfig: config})
		checkError(t, err, test.want)
		delete(config, name)
		_, err = Link(spec, "config", &LinkOptions{Kconfig: config})
		checkError(t, err, "kernel option "+name+" is not known")
	}
}

func TestHostVersion(t *testing.T) {
	version := hostVersion()
	if runtime.GOOS == "linux" && version>>16 < 4 || version == 0 {
		t.Errorf("version is %#x", version)
	}
}

func TestParseKconfig(t *testing.T) {
	got, err := ParseKconfig(strings.NewReader("# comment\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=\"a=b\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"CONFIG_A": "y", "CONFIG_C": `"a=b"`}, got); diff != "" {
		t.Errorf("options (-want +got):\n%s", diff)
	}
}

func TestKsyms(t *testing.T) {
	spec := open(t, "externs.o").Spec
	_, err := Link(spec, "variables", nil)
	checkError(t, err, "kernel variable bpf_prog_active, which this machine does not have")
	img := link(t, spec, "variables", &LinkOptions{Ksym: func(name string) (uint64, bool) {
		return 0xffffffff_81234567, name == "bpf_prog_active"
	}})
	var got []uint64
	for i, ins := range img.Insns {
		if ins.IsWide() {
			got = append(got, uint64(uint32(ins.Imm))|uint64(img.Insns[i+1].Imm)<<32)
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff([]uint64{0, 0xffffffff_81234567}, got); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
}

func TestKfuncs(t *testing.T) {
	spec := open(t, "externs.o").Spec
	tests := []struct {
		name     string
		has      func(string) bool
		calls    []string
		poisoned int
	}{
		{"absent", nil, []string{"bpf_xdp_metadata_rx_hash"}, 1},
		{"present", func(string) bool { return true }, []string{"bpf_xdp_metadata_rx_hash", "skep_no_such_function"}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			img := link(t, spec, "calls", &LinkOptions{HasKfunc: test.has})
			var calls []string
			for i := range img.Insns {
				if fn := img.Kfuncs[i]; fn != nil {
					calls = append(calls, fn.Name)
				}
			}
			if diff := cmp.Diff(test.calls, calls); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			if len(img.Poisoned) != test.poisoned {
				t.Errorf("poisoned instructions: %v", img.Poisoned)
			}
		})
	}
}

// TestExternsOfPlainSpec holds that a spec which cilium/ebpf loaded says what to
// do instead.
func TestExternsOfPlainSpec(t *testing.T) {
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(fixture(t, "plain.o")))
	if err != nil {
		t.Fatal(err)
	}
	for _, prog := range []string{"config", "variables", "calls"} {
		_, err := Link(spec, prog, nil)
		checkError(t, err, "program.Open")
	}
}
