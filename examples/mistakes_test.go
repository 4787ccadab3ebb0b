package examples_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/interp"
)

// header is an Ethernet header that announces IPv4, and nothing behind it.
var header = []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 0}

func mistakes(t *testing.T) map[string]*ebpf.CollectionSpec {
	t.Helper()
	all := map[string]*ebpf.CollectionSpec{}
	for _, source := range sources(t) {
		if filepath.Dir(source) != "mistakes" {
			continue
		}
		spec, err := ebpf.LoadCollectionSpec(object(source))
		if err != nil {
			t.Fatal(err)
		}
		all[source] = spec
	}
	return all
}

func TestMistakesInKernel(t *testing.T) {
	testenv.Kernel(t)
	for source, spec := range mistakes(t) {
		coll, err := ebpf.NewCollection(spec)
		if err == nil {
			coll.Close()
		}
		var refused *ebpf.VerifierError
		if !errors.As(err, &refused) {
			t.Errorf("%s: the verifier does not refuse it: %v", source, err)
		}
	}
}

func TestMistakesInMachine(t *testing.T) {
	for source, spec := range mistakes(t) {
		coll, err := vm.NewCollection(spec)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		for _, prog := range coll.Programs {
			_, err := prog.Run(&ebpf.RunOptions{Data: header})
			var fault *interp.Fault
			if !errors.As(err, &fault) {
				t.Errorf("%s: the run does not end in a fault: %v", source, err)
			}
		}
		coll.Close()
	}
}
