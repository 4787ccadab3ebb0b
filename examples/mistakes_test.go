package examples_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/verifier"
	"github.com/skep-ebpf/skep/vm"
)

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
		if err == nil {
			coll.Close()
		}
		var refused *verifier.Error
		if !errors.As(err, &refused) || refused.Cause == verifier.CauseUnsupported {
			t.Errorf("%s: the verifier does not refuse it: %v", source, err)
		}
	}
}
