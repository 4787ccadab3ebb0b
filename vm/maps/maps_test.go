package maps

import (
	"errors"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
)

// errnoOf is the error number in an error, 0 for nil.
func errnoOf(err error) errno.Errno {
	if err == nil {
		return 0
	}
	if n, ok := errors.AsType[errno.Errno](err); ok {
		return n
	}
	return 0xffff
}

func newMap(t testing.TB, spec ebpf.MapSpec) Map {
	t.Helper()
	m, err := New(&spec, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}
