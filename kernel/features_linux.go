package kernel

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/features"
	"golang.org/x/sys/unix"
)

// Probe finds out what this kernel and this process's privileges allow. It loads small
// programs, and leaves nothing behind.
func Probe() []Feature {
	all := append([]Feature{release()}, privileges()...)
	all = append(all, kernelTypes(), programTypes(), mapTypes())
	all = append(all,
		tracing(),
		exists("kprobes", "kprobe, kretprobe, ksyscall", "a kernel with CONFIG_KPROBE_EVENTS",
			"/sys/bus/event_source/devices/kprobe", "/sys/kernel/tracing/kprobe_events"),
		exists("uprobes", "uprobe, uretprobe", "a kernel with CONFIG_UPROBE_EVENTS",
			"/sys/bus/event_source/devices/uprobe", "/sys/kernel/tracing/uprobe_events"),
		mounted("bpffs", "--pin", "bpf", "/sys/fs/bpf", unix.BPF_FS_MAGIC),
		mounted("cgroups", "cgroup programs", "cgroup2", "/sys/fs/cgroup", unix.CGROUP2_SUPER_MAGIC),
	)
	return append(all, securityModule())
}

// tracing looks for the list of what can be traced.
func tracing() Feature {
	const serves = "for tracepoints and patterns of kernel functions"
	if _, err := tracefs(); err != nil {
		return Feature{"tracefs", false, serves + ": " + err.Error()}
	}
	return Feature{"tracefs", true, serves}
}

// release is the running kernel's version.
func release() Feature {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return Feature{"kernel", false, err.Error()}
	}
	return Feature{"kernel", true, "Linux " + unix.ByteSliceToString(u.Release[:]) + " " + unix.ByteSliceToString(u.Machine[:])}
}

// kernelTypes looks for the kernel's BTF.
func kernelTypes() Feature {
	const name = "types (BTF)"
	if _, err := runningTypes.Kernel(); err != nil {
		return Feature{name, false, "no CO-RE, fentry, tp_btf, iterators or LSM: the kernel was built without CONFIG_DEBUG_INFO_BTF: " + err.Error()}
	}
	return Feature{name, true, "/sys/kernel/btf/vmlinux"}
}

// programTypes are those that the kernel loads.
func programTypes() Feature {
	var without, forbidden []string
	n := 0
	for t := ebpf.SocketFilter; t <= ebpf.Netfilter; t++ {
		n++
		switch err := features.HaveProgramType(t); {
		case errors.Is(err, ebpf.ErrNotSupported):
			without = append(without, t.String())
		case errors.Is(err, os.ErrPermission) && lacks() != 0:
			return Feature{"program types", false, "not known, as this process may not load all of them"}
		case errors.Is(err, os.ErrPermission):
			forbidden = append(forbidden, t.String())
		}
	}
	f := listed("program types", n, append(without, forbidden...))
	if len(forbidden) > 0 {
		f.Says += fmt.Sprintf(" (this process may not load %s, though it has the capabilities)", strings.Join(forbidden, " "))
	}
	return f
}

// mapTypes are those that the kernel makes.
func mapTypes() Feature {
	var lacks []string
	n := 0
	for t := ebpf.Hash; t <= ebpf.Arena; t++ {
		n++
		switch err := features.HaveMapType(t); {
		case errors.Is(err, ebpf.ErrNotSupported):
			lacks = append(lacks, t.String())
		case errors.Is(err, os.ErrPermission):
			return Feature{"map types", false, "not known, as this process may not make all of them"}
		}
	}
	return listed("map types", n, lacks)
}

// listed says how many of n there are, and which are not.
func listed(name string, n int, lacks []string) Feature {
	says := fmt.Sprintf("%d of %d", n-len(lacks), n)
	if len(lacks) > 0 {
		says += "; without " + strings.Join(lacks, " ")
	}
	return Feature{name, len(lacks) < n, says}
}

// exists looks for files that a feature has; wants says what it takes where there are
// none.
func exists(name, serves, wants string, paths ...string) Feature {
	for _, path := range paths {
		if _, err := os.Stat(path); err == nil {
			return Feature{name, true, "for " + serves}
		}
	}
	return Feature{name, false, "for " + serves + ": it takes " + wants}
}

// securityModule looks whether BPF is among the security modules.
func securityModule() Feature {
	const name = "LSM"
	text, err := os.ReadFile("/sys/kernel/security/lsm")
	switch {
	case err != nil:
		return Feature{name, false, "for lsm: whether programs may attach to security hooks is not known: mount -t securityfs securityfs /sys/kernel/security"}
	case !strings.Contains(","+strings.TrimSpace(string(text))+",", ",bpf,"):
		return Feature{name, false, "for lsm: it takes bpf among the kernel's parameter lsm=, which is " + strings.TrimSpace(string(text))}
	}
	return Feature{name, true, "for lsm"}
}

// isOn reports whether a path is in a file system of a type.
func isOn(path string, magic int64) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && int64(st.Type) == magic
}

// mounted looks for a file system of a type at a place.
func mounted(name, serves, fs, at string, magic int64) Feature {
	if !isOn(at, magic) {
		return Feature{name, false, fmt.Sprintf("for %s: it takes mount -t %s %s %s", serves, fs, fs, at)}
	}
	return Feature{name, true, "for " + serves}
}
