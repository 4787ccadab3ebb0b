package testenv

import (
	"testing"

	"github.com/cilium/ebpf/btf"
)

// Types is a kernel's or an object's types, made of these and what they refer to.
func Types(t testing.TB, types ...btf.Type) *btf.Spec {
	t.Helper()
	b, err := btf.NewBuilder(types, nil)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := b.Spec()
	if err != nil {
		t.Fatal(err)
	}
	return spec
}
