package kernel

import (
	"fmt"
	"io"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/internal/suggest"
)

func init() {
	families["tracepoint"] = planTracepoint
	families["raw_tracepoint"] = planRawTracepoint
	families["raw_tracepoint.w"] = planRawTracepoint
	for _, kind := range []string{"tp_btf", "fentry", "fexit", "fmod_ret"} {
		families[kind] = planTracing
	}
	families["lsm"] = planLSM
	families["freplace"] = planFreplace
	families["iter"] = planIter
}

// planTracepoint attaches to a tracepoint: CATEGORY/NAME.
func planTracepoint(_ *Collection, prog *ebpf.Program, at hook.Point) (func() (io.Closer, error), error) {
	category, name, ok := strings.Cut(at.Target, "/")
	if !ok {
		return nil, fmt.Errorf("%s: want %s, such as %s", at, at.Kind.Wants, at.Kind.Example)
	}
	id, err := tracepointID(category, name)
	if err != nil {
		return nil, err
	}
	// Wherever it is opened, such a program runs on all CPUs.
	event := perfSample{attr: unix.PerfEventAttr{Type: unix.PERF_TYPE_TRACEPOINT, Config: id, Size: uint32(unix.PERF_ATTR_SIZE_VER5), Sample: 1, Sample_type: unix.PERF_SAMPLE_RAW}}
	return func() (io.Closer, error) { return event.attach(prog, []place{{0, -1}}) }, nil
}

func planRawTracepoint(_ *Collection, prog *ebpf.Program, at hook.Point) (func() (io.Closer, error), error) {
	if err := checkRawTracepoint(at.Target); err != nil {
		return nil, err
	}
	return func() (io.Closer, error) {
		return link.AttachRawTracepoint(link.RawTracepointOptions{Name: at.Target, Program: prog})
	}, nil
}

// planTracing attaches a program that was loaded for its target, or what it had to be
// made.
func planTracing(c *Collection, prog *ebpf.Program, at hook.Point) (func() (io.Closer, error), error) {
	if r, ok := replacements[at.Kind.Name]; ok && prog.Type() == r.typ {
		attach, err := families[r.kind](c, prog, hook.Point{Kind: hook.Find(r.kind), Target: at.Target})
		how := fmt.Sprintf("by a %s, as this kernel %s", r.kind, untyped(at))
		return func() (io.Closer, error) {
			closer, err := attach()
			return otherwise{closer, how}, err
		}, err
	}
	return func() (io.Closer, error) { return link.AttachTracing(link.TracingOptions{Program: prog}) }, nil
}

func planLSM(_ *Collection, prog *ebpf.Program, _ hook.Point) (func() (io.Closer, error), error) {
	return func() (io.Closer, error) { return link.AttachLSM(link.LSMOptions{Program: prog}) }, nil
}

// planFreplace has a program take the place of the function that it was loaded for.
func planFreplace(_ *Collection, prog *ebpf.Program, _ hook.Point) (func() (io.Closer, error), error) {
	return func() (io.Closer, error) { return link.AttachFreplace(nil, "", prog) }, nil
}

// planIter makes an iterator, which runs when it is read. One over a map's elements
// names the map: bpf_map_elem/NAME.
func planIter(c *Collection, prog *ebpf.Program, at hook.Point) (func() (io.Closer, error), error) {
	_, name, over := strings.Cut(at.Target, "/")
	var m *ebpf.Map
	if over {
		if m = c.Maps[name]; m == nil {
			return nil, fmt.Errorf("%s: the object has no map %s%s", at, name, suggest.Name(name, c.mapNames()))
		}
	}
	return func() (io.Closer, error) { return link.AttachIter(link.IterOptions{Program: prog, Map: m}) }, nil
}

// targets are what programs of some kinds of hooks are loaded for: what the names of
// the kernel's type and of its symbol begin with.
var targets = map[string]struct {
	what, prefix, symbol string
	typedef              bool
}{
	"lsm":        {"security hook", "bpf_lsm_", "bpf_lsm_", false},
	"lsm_cgroup": {"security hook", "bpf_lsm_", "bpf_lsm_", false},
	"iter":       {"iterator", "bpf_iter_", "bpf_iter_", false},
	"tp_btf":     {"tracepoint", "btf_trace_", "__traceiter_", true},
	"fentry":     {what: "function"}, "fexit": {what: "function"}, "fmod_ret": {what: "function"},
}

// checkTarget looks for what a program is loaded for, before the kernel refuses it in
// other words.
func checkTarget(at hook.Point) error {
	t, loaded := targets[at.Kind.Name]
	if !loaded || at.Target == "" {
		return nil
	}
	types, err := runningTypes.Kernel()
	if err != nil {
		return fmt.Errorf("%s: the running kernel does not tell its types (/sys/kernel/btf/vmlinux, CONFIG_DEBUG_INFO_BTF), and such programs are loaded by them: %w", at, err)
	}
	name, _, _ := strings.Cut(at.Target, "/")
	if at.Kind.Name == "lsm_cgroup" {
		if name, _ = lsmCgroupTarget(at); name == "" {
			return nil // the section's
		}
	}
	if t.typedef && hasType[*btf.Typedef](types, t.prefix+name) || !t.typedef && hasType[*btf.Func](types, t.prefix+name) {
		return nil
	}
	if t.prefix == "" && checkFunction(name) == nil {
		return nil // a module's, perhaps
	}
	known, err := symbols(t.symbol)
	if err != nil {
		return err
	}
	return fmt.Errorf("the kernel has no %s %s%s", t.what, name, suggest.Name(name, known))
}

// attachRawTracepoint attaches a program of skep's own.
func attachRawTracepoint(name string, prog *ebpf.Program) (io.Closer, error) {
	return link.AttachRawTracepoint(link.RawTracepointOptions{Name: name, Program: prog})
}
