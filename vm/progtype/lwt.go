package progtype

import (
	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/vm/exec"
)

// The types that are attached to a route.

func init() {
	for prog, name := range map[ebpf.ProgramType]string{
		ebpf.LWTIn: "lwt_in", ebpf.LWTOut: "lwt_out", ebpf.LWTXmit: "lwt_xmit", ebpf.LWTSeg6Local: "lwt_seg6local",
	} {
		register(&Type{
			Prog: prog, Name: name,
			CtxName: "struct __sk_buff", CtxSize: skbSize,
			Fields: skbFieldsFor(append([]string{
				"tc_classid", "data_meta", "tstamp", "wire_len", "tstamp_type", "hwtstamp",
			}, socketFields...), []string{"mark", "priority", "cb"}),
			Verdicts: map[uint32]string{0: "BPF_OK", 2: "BPF_DROP", 7: "BPF_REDIRECT", 128: "BPF_LWT_REROUTE"},
			Packet:   true,
			Setup: func(s *exec.State, in *Input) error {
				err := setupSKB(s, in, prog, false)
				s.Packet.ReadOnly = prog != ebpf.LWTXmit
				if err == nil && prog == ebpf.LWTSeg6Local && SKB(s).Protocol == ProtoIPv6 {
					SKB(s).enterSegments(s.Packet.Bytes())
				}
				return err
			},
			Finish: finishSKB,
		})
	}
}
