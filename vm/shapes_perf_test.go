//go:build !windows

package vm_test

import (
	ciliumperf "github.com/cilium/ebpf/perf"

	"github.com/skep-ebpf/skep/vm/perf"
)

// cilium/ebpf has no perf readers on Windows.
func init() {
	shapes = append(shapes, struct{ theirs, ours any }{(*ciliumperf.Reader)(nil), (*perf.Reader)(nil)})
}
