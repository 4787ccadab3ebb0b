package verifier

import (
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/ctype"
)

// contextType is the struct that programs of a type know their context by, and the
// kernel's own; no names where there is none.
type contextType struct{ program, kernel string }

var (
	skbContext      = contextType{"__sk_buff", "sk_buff"}
	tpContext       = contextType{"bpf_raw_tracepoint_args", ""}
	argumentContext = contextType{}
)

// contextTypes are the contexts of program types (linux/bpf_types.h).
var contextTypes = map[ebpf.ProgramType]contextType{
	ebpf.SocketFilter: skbContext, ebpf.SchedCLS: skbContext, ebpf.SchedACT: skbContext, ebpf.CGroupSKB: skbContext,
	ebpf.LWTIn: skbContext, ebpf.LWTOut: skbContext, ebpf.LWTXmit: skbContext, ebpf.LWTSeg6Local: skbContext, ebpf.SkSKB: skbContext,
	ebpf.XDP:                   {"xdp_md", "xdp_buff"},
	ebpf.CGroupSock:            {"bpf_sock", "sock"},
	ebpf.CGroupSockAddr:        {"bpf_sock_addr", "bpf_sock_addr_kern"},
	ebpf.SockOps:               {"bpf_sock_ops", "bpf_sock_ops_kern"},
	ebpf.SkMsg:                 {"sk_msg_md", "sk_msg"},
	ebpf.FlowDissector:         {"__sk_buff", "bpf_flow_dissector"},
	ebpf.Kprobe:                {"pt_regs", "pt_regs"},
	ebpf.PerfEvent:             {"bpf_perf_event_data", "bpf_perf_event_data_kern"},
	ebpf.RawTracepoint:         tpContext,
	ebpf.RawTracepointWritable: tpContext,
	ebpf.CGroupDevice:          {"bpf_cgroup_dev_ctx", "bpf_cgroup_dev_ctx"},
	ebpf.CGroupSysctl:          {"bpf_sysctl", "bpf_sysctl_kern"},
	ebpf.CGroupSockopt:         {"bpf_sockopt", "bpf_sockopt_kern"},
	ebpf.SkReuseport:           {"sk_reuseport_md", "sk_reuseport_kern"},
	ebpf.SkLookup:              {"bpf_sk_lookup", "bpf_sk_lookup_kern"},
	ebpf.Netfilter:             {"bpf_nf_ctx", "bpf_nf_ctx"},
	ebpf.TracePoint:            argumentContext,
	ebpf.Tracing:               argumentContext,
	ebpf.LircMode2:             argumentContext,
	ebpf.StructOps:             argumentContext,
	ebpf.Extension:             argumentContext,
	ebpf.LSM:                   argumentContext,
	ebpf.Syscall:               argumentContext,
}

// userRegs is how programs know the context of probes, whatever the processor.
const userRegs = "bpf_user_pt_regs_t"

// isContext reports whether what a pointer leads to is this program's context, by its
// name (btf_is_prog_ctx_type).
func (c *checker) isContext(target btf.Type) bool {
	t := btf.UnderlyingType(target)
	if c.progType() == ebpf.Kprobe && (isTypedef(target, userRegs) || t.TypeName() == userRegs) {
		return true
	}
	if _, _, ok := members(t); !ok {
		return false
	}
	want := contextTypes[c.progType()].program
	return want != "" && (t.TypeName() == want || isProjection(want, t.TypeName()))
}

// isTypedef reports whether a type is a typedef of a name, behind qualifiers.
func isTypedef(t btf.Type, name string) bool {
	def, ok := ctype.Unqualified(t).(*btf.Typedef)
	return ok && def.Name == name
}

// contextTag refuses a parameter tagged as the context that is not of its type; i is
// the parameter's place (btf_validate_prog_ctx_type).
func (c *checker) contextTag(i int, target btf.Type) error {
	typ := c.img.Type
	if (typ == ebpf.Kprobe || typ == ebpf.PerfEvent) && isTypedef(target, userRegs) {
		return nil
	}
	t := btf.UnderlyingType(target)
	if isVoid(t) {
		return nil
	}
	name := t.TypeName()
	if name == "" {
		return c.fail(CauseGlobal, "arg#%d type doesn't have a name", i)
	}
	if c.alsoContext(t) {
		return nil
	}
	want := contextTypes[typ].program
	if want == "" {
		return c.fail(CauseGlobal, "arg#%d should be void pointer", i)
	}
	if _, ok := t.(*btf.Struct); !ok || name != want {
		return c.fail(CauseGlobal, "arg#%d should be `struct %s *`", i, want)
	}
	return nil
}

// alsoContext reports whether a type stands for the context of programs that know it by
// several.
func (c *checker) alsoContext(t btf.Type) bool {
	s, isStruct := t.(*btf.Struct)
	number, isInt := t.(*btf.Int)
	words := isInt && number.Size == 8 // the arguments, as an array of numbers
	switch c.progType() {
	case ebpf.Kprobe, ebpf.PerfEvent:
		return isStruct && s.Name == "pt_regs"
	case ebpf.RawTracepoint, ebpf.RawTracepointWritable, ebpf.LSM, ebpf.StructOps:
		return words
	case ebpf.TracePoint, ebpf.Syscall, ebpf.Extension:
		return true
	case ebpf.Tracing:
		switch c.img.Attach {
		case ebpf.AttachTraceRawTp:
			return words || isStruct && s.Name == tpContext.program
		case ebpf.AttachTraceIter:
			return isStruct && strings.HasPrefix(s.Name, "bpf_iter__")
		case ebpf.AttachTraceFEntry, ebpf.AttachTraceFExit, ebpf.AttachModifyReturn, attachTraceFsession:
			return words
		}
	}
	return false
}

// attachTraceFsession is BPF_TRACE_FSESSION.
const attachTraceFsession = ebpf.AttachType(58)
