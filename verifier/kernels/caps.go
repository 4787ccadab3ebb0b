package kernels

import (
	"slices"
	"strings"

	"github.com/cilium/ebpf"
)

// Caps is a set of capabilities, as capget has it: bit n is Linux's capability n.
type Caps uint64

// The capabilities that programs, maps and what they are attached to ask for.
const (
	CapBPF           Caps = 1 << 39
	CapPerfmon       Caps = 1 << 38
	CapNetAdmin      Caps = 1 << 12
	CapNetRaw        Caps = 1 << 13
	CapDACReadSearch Caps = 1 << 2
	CapSysBoot       Caps = 1 << 22
	CapSysAdmin      Caps = 1 << 21
)

// capNames are in the order in which people read them.
var capNames = []struct {
	cap  Caps
	name string
}{
	{CapBPF, "CAP_BPF"}, {CapPerfmon, "CAP_PERFMON"}, {CapNetAdmin, "CAP_NET_ADMIN"}, {CapNetRaw, "CAP_NET_RAW"},
	{CapDACReadSearch, "CAP_DAC_READ_SEARCH"}, {CapSysBoot, "CAP_SYS_BOOT"}, {CapSysAdmin, "CAP_SYS_ADMIN"},
}

// Names are those of the capabilities above that are in the set: "CAP_BPF".
func (c Caps) Names() (names []string) {
	for _, known := range capNames {
		if c&known.cap != 0 {
			names = append(names, known.name)
		}
	}
	return names
}

// String is the set for a sentence: "CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN".
func (c Caps) String() string {
	names := c.Names()
	switch n := len(names); n {
	case 0:
		return "no capability"
	case 1:
		return names[0]
	default:
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
}

// Without gives what of the set a process lacks that has others. CAP_SYS_ADMIN stands for
// those that Linux 5.8 took out of it, and for CAP_NET_ADMIN where programs ask for it.
func (c Caps) Without(has Caps) Caps {
	if has&CapSysAdmin != 0 {
		has |= CapBPF | CapPerfmon | CapNetAdmin
	}
	return c &^ has
}

// Program types by what their loader needs beside CAP_BPF.
var (
	unprivileged = []ebpf.ProgramType{ebpf.SocketFilter, ebpf.CGroupSKB} // not even that
	ofNetwork    = []ebpf.ProgramType{
		ebpf.SchedCLS, ebpf.SchedACT, ebpf.XDP, ebpf.LWTIn, ebpf.LWTOut, ebpf.LWTXmit, ebpf.LWTSeg6Local, ebpf.SkSKB,
		ebpf.SkMsg, ebpf.FlowDissector, ebpf.CGroupDevice, ebpf.CGroupSock, ebpf.CGroupSockAddr, ebpf.CGroupSockopt,
		ebpf.CGroupSysctl, ebpf.SockOps, ebpf.Netfilter, ebpf.Extension,
	}
	ofTracing = []ebpf.ProgramType{
		ebpf.Kprobe, ebpf.TracePoint, ebpf.PerfEvent, ebpf.RawTracepoint, ebpf.RawTracepointWritable, ebpf.Tracing,
		ebpf.LSM, ebpf.StructOps, ebpf.Extension,
	}
)

// ProgCaps are the capabilities that it takes to load a program of a type, beside those
// of its helpers. Where unprivileged loading is switched off (kernel.unprivileged_bpf_disabled)
// CAP_BPF is needed for all.
func ProgCaps(t ebpf.ProgramType) (need Caps) {
	if !slices.Contains(unprivileged, t) {
		need |= CapBPF
	}
	if slices.Contains(ofNetwork, t) {
		need |= CapNetAdmin
	}
	if slices.Contains(ofTracing, t) {
		need |= CapPerfmon
	}
	return need
}

// MapCaps are the capabilities that it takes to make a map of a type.
func MapCaps(t ebpf.MapType) Caps {
	switch t {
	case ebpf.SockMap, ebpf.SockHash, ebpf.DevMap, ebpf.DevMapHash, ebpf.XSKMap:
		return CapNetAdmin
	case ebpf.Array, ebpf.PerCPUArray, ebpf.ProgramArray, ebpf.PerfEventArray, ebpf.CGroupArray, ebpf.ArrayOfMaps, ebpf.Hash,
		ebpf.PerCPUHash, ebpf.HashOfMaps, ebpf.RingBuf, ebpf.UserRingbuf, ebpf.CGroupStorage, ebpf.PerCPUCGroupStorage:
		return 0
	}
	return CapBPF
}
