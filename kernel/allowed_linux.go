package kernel

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/features"

	"github.com/skep-ebpf/skep/verifier/kernels"
)

// privileges are what this process may do, and what else decides about that.
func privileges() []Feature {
	all := []Feature{
		capabilities(),
		allowed("programs", ebpf.SocketFilter, "socket filters, sk_lookup, syscall programs"),
		allowed("network programs", ebpf.XDP, "XDP, tc, cgroups, sockets"),
		allowed("tracing programs", ebpf.Kprobe, "kprobes, uprobes, tracepoints, perf events, fentry, LSM, struct_ops"),
		openEvents(),
	}
	if inUserNamespace() {
		all = append(all, Feature{"user namespace", true, "capabilities hold in it alone; what may be loaded is what a bpffs delegates to it"})
	}
	if level := lockedDown(); level != "" {
		all = append(all, Feature{"lockdown", true, level + ": programs may not write memory of processes, nor read the kernel's where it says confidentiality"})
	}
	return all
}

// capabilities are those of this process.
func capabilities() Feature {
	const known = kernels.CapBPF | kernels.CapPerfmon | kernels.CapNetAdmin | kernels.CapSysAdmin
	has := effective() & known
	says := strings.Join(has.Names(), " ")
	if lacks := known &^ has; lacks != 0 {
		says = strings.TrimSpace(says + "; without " + strings.Join(lacks.Names(), " "))
	}
	return Feature{"capabilities", has != 0, strings.TrimPrefix(says, "; ")}
}

// allowed tries to load a program of a type, and says what it takes where that is not
// permitted.
func allowed(name string, t ebpf.ProgramType, serves string) Feature {
	err := features.HaveProgramType(t)
	switch {
	case err == nil:
		return Feature{name, true, "this process may load them: " + serves}
	case !errors.Is(err, os.ErrPermission):
		return Feature{name, false, err.Error()}
	}
	need := kernels.ProgCaps(t) | kernels.CapBPF
	if lacks := need.Without(effective()); lacks != 0 {
		return Feature{name, false, fmt.Sprintf("%s: it takes %s", serves, lacks)}
	}
	return Feature{name, false, serves + ": " + forbidden(err)}
}

// openEvents says who may open perf events: for perf_event programs, and to read perf
// event arrays.
func openEvents() Feature {
	const name, serves = "perf events", "for perf_event, uprobe, and to read perf event arrays"
	need := kernels.CapPerfmon
	switch level := perfParanoid(); {
	case level <= 0:
		need = 0
	case level > 2:
		need = kernels.CapSysAdmin
	}
	has := effective()
	if inUserNamespace() {
		has = 0 // none of the system's
	}
	if lacks := need.Without(has); lacks != 0 {
		return Feature{name, false, fmt.Sprintf("%s: it takes %s (kernel.perf_event_paranoid is %d)", serves, lacks, perfParanoid())}
	}
	return Feature{name, true, serves}
}
