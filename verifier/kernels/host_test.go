package kernels_test

import (
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/verifier/kernels"
)

func TestHost(t *testing.T) {
	testenv.Kernel(t)
	k := kernel(t, "host")
	if _, ok := k.Helper(ebpf.SocketFilter, 0, 1); !ok {
		t.Error("the running kernel has no bpf_map_lookup_elem")
	}
	if _, ok := k.Helper(ebpf.SocketFilter, 0, 51); ok {
		t.Error("socket filters may call bpf_redirect_map")
	}
	if since, ok := k.ProgType(ebpf.SocketFilter); !ok || since != kernels.V(3, 19) {
		t.Errorf("socket filters: since %v, %v", since, ok)
	}
	if _, ok := k.MapType(ebpf.Hash); !ok {
		t.Error("the running kernel has no hash maps")
	}
	if sentences := k.Unanswered(); len(sentences) > 0 {
		t.Errorf("the kernel did not answer: %q", sentences)
	}
	if _, ok := k.Kfunc(ebpf.XDP, 0, "bpf_nonsense"); ok {
		t.Error("there is a kernel function bpf_nonsense")
	}
}
