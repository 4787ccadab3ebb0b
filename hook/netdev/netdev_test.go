package netdev

import (
	"errors"
	"io"
	"os"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/hook/capture"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/exec"
)

// bench is a network with programs.
type bench struct {
	net  *Network
	coll *vm.Collection
}

func build(t *testing.T, cfg *Config, spec *ebpf.CollectionSpec, opts Options) *bench {
	t.Helper()
	b := &bench{}
	var err error
	if b.net, err = cfg.Build(opts); err != nil {
		t.Fatal(err)
	}
	b.coll, err = vm.NewCollectionWithOptions(spec, vm.CollectionOptions{
		Programs: vm.ProgramOptions{Env: b.net.Env(exec.Env{})},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.coll.Close)
	if err := cfg.Connect(b.net, b.coll); err != nil {
		t.Fatal(err)
	}
	return b
}

// example is examples/redirect.
func example(t *testing.T) (*Config, *ebpf.CollectionSpec, [][]byte) {
	t.Helper()
	const dir = "../../examples/redirect/"
	text, err := os.ReadFile(dir + "net.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := ParseConfig("net.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := ebpf.LoadCollectionSpec(dir + "redirect.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	in, err := capture.Open(dir + "traffic.pcap")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var frames [][]byte
	for {
		p, err := in.Next()
		if errors.Is(err, io.EOF) {
			return cfg, spec, frames
		}
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, append([]byte(nil), p.Data...))
	}
}
