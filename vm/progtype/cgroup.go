package progtype

import "github.com/cilium/ebpf"

func init() {
	register(
		uapi(&Type{
			Prog: ebpf.CGroupDevice, Name: "cgroup/dev",
			CtxName: "struct bpf_cgroup_dev_ctx", CtxSize: 12,
			Fields:   []Field{word("access_type", 0), word("major", 4).whole(), word("minor", 8).whole()},
			Verdicts: allow, Returns: &Range{0, 1},
		}),
		uapi(&Type{
			Prog: ebpf.CGroupSysctl, Name: "cgroup/sysctl",
			CtxName: "struct bpf_sysctl", CtxSize: 8,
			Fields:   []Field{word("write", 0), word("file_pos", 4).writable()},
			Verdicts: allow, Returns: &Range{0, 1},
		}),
	)
	// Not of a cgroup, but as small: a pulse or a space of an infrared receiver.
	register(uapi(&Type{
		Prog: ebpf.LircMode2, Name: "lirc_mode2",
		CtxName: "unsigned int", CtxSize: 4,
		Fields: []Field{word("sample", 0).whole()},
	}))
}
