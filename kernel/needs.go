package kernel

import (
	"fmt"
	"maps"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/verifier/kernels"
)

// Need is what Linux asks for something that an object has or that is done with it.
type Need struct {
	For  string // "program firewall (XDP)"
	Caps kernels.Caps
}

// attachCaps are the capabilities that attaching takes, by kinds of hooks; none where
// loading has taken all. A link is made by whoever has the program and the target.
var attachCaps = map[string]kernels.Caps{
	"kprobe": kernels.CapPerfmon, "kretprobe": kernels.CapPerfmon,
	"ksyscall": kernels.CapPerfmon, "kretsyscall": kernels.CapPerfmon,
	"perf_event": kernels.CapPerfmon,
	// For these perf_event_open() asks for more than uprobe.multi's link takes.
	"uprobe": kernels.CapSysAdmin, "uretprobe": kernels.CapSysAdmin, "usdt": kernels.CapSysAdmin,
	// These read tracefs, which mostly is root's alone.
	"tracepoint":   kernels.CapPerfmon | kernels.CapDACReadSearch,
	"kprobe.multi": kernels.CapDACReadSearch, "kretprobe.multi": kernels.CapDACReadSearch, "kprobe.session": kernels.CapDACReadSearch,
	// These are loaded by anyone, and looked at here.
	"cgroup_skb/ingress": kernels.CapNetAdmin, "cgroup_skb/egress": kernels.CapNetAdmin,
	"socket": kernels.CapNetRaw, // it opens a packet socket
	"clsact": kernels.CapNetAdmin,
	"lwt_in": kernels.CapNetAdmin, "lwt_out": kernels.CapNetAdmin, "lwt_xmit": kernels.CapNetAdmin, "lwt_seg6local": kernels.CapNetAdmin,
	"freplace": kernels.CapSysAdmin, // it looks for a running program
}

// attachNeeds are the capabilities that attaching at a kind of hooks takes in the running
// kernel; in the newest where there is none.
func attachNeeds(kind string) kernels.Caps {
	switch host, err := kernels.Host(); kind {
	case "uprobe.multi", "uretprobe.multi":
		if err == nil && host.Version() < kernels.V(6, 6) {
			return attachCaps["uprobe"] // one uprobe each
		}
	}
	return attachCaps[kind]
}

// Needs lists the capabilities that it takes to load the programs and maps of a spec, to
// attach programs at points, and to read what they send. Things that need the same as
// what they belong to are not listed again.
func Needs(spec *ebpf.CollectionSpec, at []hook.Attachment) []Need {
	var needs []Need
	for _, name := range slices.Sorted(maps.Keys(spec.Programs)) {
		needs = append(needs, programNeeds(name, spec.Programs[name])...)
	}
	for _, name := range slices.Sorted(maps.Keys(spec.Maps)) {
		m := spec.Maps[name]
		what := fmt.Sprintf("map %s (%s)", name, m.Type)
		if caps := kernels.MapCaps(m.Type); caps&^kernels.CapBPF != 0 {
			needs = append(needs, Need{what, caps})
		}
		if m.Type == ebpf.PerfEventArray {
			needs = append(needs, Need{"reading " + what, kernels.CapPerfmon})
		}
	}
	for _, a := range at {
		if caps := attachNeeds(a.Point.Kind.Name); caps != 0 {
			needs = append(needs, Need{fmt.Sprintf("attaching %s at %s", a.Program, a.Point), caps})
		}
	}
	return needs
}

// programNeeds are what loading a program takes. CAP_BPF is among them also where its type
// asks for nothing: most systems ask for it then (kernel.unprivileged_bpf_disabled), and
// Linux does for the program's types.
func programNeeds(name string, p *ebpf.ProgramSpec) []Need {
	caps := kernels.ProgCaps(p.Type) | kernels.CapBPF
	needs := []Need{{fmt.Sprintf("program %s (%s)", name, p.Type), caps}}
	for i := range p.Instructions {
		ins := &p.Instructions[i]
		what, want := callNeeds(ins)
		if want &^= caps; want != 0 {
			needs = append(needs, Need{fmt.Sprintf("program %s, which calls %s,", name, what), want})
			caps |= want
		}
	}
	return needs
}

// callNeeds are what a call takes, and what is called.
func callNeeds(ins *asm.Instruction) (what string, caps kernels.Caps) {
	switch {
	case ins.IsBuiltinCall():
		h, _ := kernels.HelperByID(uint32(ins.Constant))
		return h.Name, h.Caps
	case ins.IsKfuncCall():
		f, ok := kernels.KfuncByName(ins.Reference())
		if !ok {
			break
		}
		if flags, _ := f.Flags(f.Since); flags&kernels.KfuncDestructive != 0 {
			return f.Name, kernels.CapSysBoot
		}
	}
	return "", 0
}
