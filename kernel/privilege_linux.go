package kernel

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/verifier/kernels"
)

// effective are the capabilities that this process may use now; none where Linux does not
// tell.
func effective() kernels.Caps {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return 0
	}
	return kernels.Caps(data[1].Effective)<<32 | kernels.Caps(data[0].Effective)
}

// lacks are the capabilities that matter to a verdict and that this process has not.
func lacks() kernels.Caps {
	return (kernels.CapBPF | kernels.CapPerfmon | kernels.CapNetAdmin | kernels.CapSysAdmin).Without(effective())
}

// tokenLacks is how cilium/ebpf says what a BPF token does not allow.
var tokenLacks = regexp.MustCompile(`((?:map type|program type|attach type|command) \S+): token insufficiently privileged|token insufficiently privileged\?`)

// forbidden says what may forbid what the process has the capabilities for.
func forbidden(err error) string {
	switch lacks := tokenLacks.FindStringSubmatch(err.Error()); {
	case lacks != nil:
		return fmt.Sprintf("the BPF token of this user namespace does not allow it (%s): mount its bpffs with more delegated (delegate_cmds, delegate_maps, delegate_progs, delegate_attachs)", cmp.Or(lacks[1], "Linux says no more"))
	case inUserNamespace():
		return "this process has its capabilities in its user namespace alone, and Linux asks for those outside: " +
			"run skep outside, or mount a bpffs that delegates to the namespace (a BPF token, Linux 6.9)"
	case lockedDown() != "":
		return "Linux is locked down (" + lockedDown() + "), and lets nobody do this: see /sys/kernel/security/lockdown"
	case filtered():
		return "a seccomp filter forbids it, as containers have one: allow bpf() and perf_event_open() there"
	}
	return "Linux did not permit it, though this process has the capabilities: a security module may forbid it"
}

// perfParanoid is the sysctl kernel.perf_event_paranoid. Linux itself knows -1 to 2; those
// of some distributions have more.
func perfParanoid() int {
	text, _ := os.ReadFile("/proc/sys/kernel/perf_event_paranoid")
	n, _ := strconv.Atoi(strings.TrimSpace(string(text))) // 0 where Linux has no perf events
	return n
}

// inUserNamespace reports whether this process's users are others than the system's.
func inUserNamespace() bool {
	text, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return false
	}
	fields := strings.Fields(string(text))
	return len(fields) != 3 || fields[0] != "0" || fields[1] != "0" || fields[2] != "4294967295"
}

// lockedDown is the level to which Linux is locked down; "" for none.
func lockedDown() string {
	text, _ := os.ReadFile("/sys/kernel/security/lockdown") // none where it is not mounted
	_, level, _ := strings.Cut(string(text), "[")
	level, _, _ = strings.Cut(level, "]")
	if level == "none" {
		return ""
	}
	return level
}

// filtered reports whether a filter of system calls is over this process.
func filtered() bool {
	text, _ := os.ReadFile("/proc/self/status")
	return strings.Contains(string(text), "\nSeccomp:\t2\n")
}
