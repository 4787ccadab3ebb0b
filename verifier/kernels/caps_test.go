package kernels

import (
	"testing"

	"github.com/cilium/ebpf"
)

func TestCaps(t *testing.T) {
	for _, tc := range []struct {
		caps Caps
		want string
	}{
		{0, "no capability"},
		{ProgCaps(ebpf.SocketFilter), "no capability"},
		{ProgCaps(ebpf.SkReuseport), "CAP_BPF"},
		{ProgCaps(ebpf.XDP), "CAP_BPF and CAP_NET_ADMIN"},
		{ProgCaps(ebpf.Extension), "CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN"},
		{MapCaps(ebpf.Hash), "no capability"},
		{MapCaps(ebpf.LPMTrie) | MapCaps(ebpf.DevMap), "CAP_BPF and CAP_NET_ADMIN"},
	} {
		if got := tc.caps.String(); got != tc.want {
			t.Errorf("%#x: %s, want %s", uint64(tc.caps), got, tc.want)
		}
	}
}

// CAP_SYS_ADMIN stands for those that were taken out of it, and nothing for it.
func TestCapsWithout(t *testing.T) {
	for _, tc := range []struct{ need, has, want Caps }{
		{CapBPF | CapNetAdmin, CapBPF, CapNetAdmin},
		{CapBPF | CapPerfmon | CapNetAdmin, CapSysAdmin, 0},
		{CapNetRaw, CapSysAdmin, CapNetRaw},
		{CapSysAdmin, CapBPF | CapPerfmon | CapNetAdmin, CapSysAdmin},
	} {
		if got := tc.need.Without(tc.has); got != tc.want {
			t.Errorf("%s without %s: %s, want %s", tc.need, tc.has, got, tc.want)
		}
	}
}
