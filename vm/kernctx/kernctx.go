package kernctx

import (
	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/vm/progtype"
)

// behind are the structures behind the contexts of a type, the context's own first; nil
// where the context is the kernel's own already, as probes' registers are.
func behind(t *progtype.Type) []part {
	switch t.Prog {
	case ebpf.SocketFilter, ebpf.SchedCLS, ebpf.SchedACT, ebpf.CGroupSKB,
		ebpf.LWTIn, ebpf.LWTOut, ebpf.LWTXmit, ebpf.LWTSeg6Local, ebpf.SkSKB:
		return skbParts(t)
	case ebpf.XDP:
		return xdpParts()
	case ebpf.CGroupSock:
		return cgroupSockParts(t)
	case ebpf.CGroupSockAddr:
		return sockAddrParts(t)
	case ebpf.CGroupSockopt:
		return sockoptParts(t)
	case ebpf.CGroupSysctl:
		return sysctlParts(t)
	case ebpf.SockOps:
		return sockOpsParts(t)
	case ebpf.SkMsg:
		return skMsgParts(t)
	case ebpf.SkReuseport:
		return reuseportParts(t)
	case ebpf.SkLookup:
		return skLookupParts(t)
	case ebpf.FlowDissector:
		return flowParts(t)
	case ebpf.PerfEvent:
		return perfParts(t)
	case ebpf.CGroupDevice:
		return deviceParts(t)
	}
	return nil
}
