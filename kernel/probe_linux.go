package kernel

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/internal/suggest"
)

func init() {
	families["kprobe"], families["kretprobe"] = planKprobe, planKprobe
	families["ksyscall"], families["kretsyscall"] = planSyscall, planSyscall
	for _, kind := range []string{"kprobe.multi", "kretprobe.multi", "kprobe.session"} {
		families[kind] = planKprobeMulti
	}
}

// planKprobe attaches to the beginning of a kernel's function, or an offset into it, or to
// its return: NAME, NAME+OFFSET.
func planKprobe(_ *Collection, prog *ebpf.Program, at hook.Point) (func() (io.Closer, error), error) {
	name, offset, err := cutOffset(at, at.Target)
	if err != nil {
		return nil, err
	}
	if at.Kind.Name == "kretprobe" && offset != 0 {
		return nil, fmt.Errorf("%s: a function returns as a whole: leave the offset away", at)
	}
	if err := checkFunction(name); err != nil {
		return nil, err
	}
	if err := haveKprobes(); err != nil {
		return nil, err
	}
	return func() (io.Closer, error) {
		if at.Kind.Name == "kretprobe" {
			return link.Kretprobe(name, prog, nil)
		}
		return link.Kprobe(name, prog, &link.KprobeOptions{Offset: offset})
	}, nil
}

// haveKprobes reports whether the kernel attaches to its functions by perf events.
func haveKprobes() error {
	const pmu = "/sys/bus/event_source/devices/kprobe"
	if _, err := os.Stat(pmu); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the running kernel is built without kprobes (CONFIG_KPROBE_EVENTS; there is no %s): %w", pmu, ebpf.ErrNotSupported)
	}
	return nil
}

// cutOffset takes NAME+OFFSET apart, which is in a point.
func cutOffset(at hook.Point, s string) (name string, offset uint64, err error) {
	i := strings.LastIndexByte(s, '+')
	if i < 0 {
		return s, 0, nil
	}
	if offset, err = strconv.ParseUint(s[i+1:], 0, 63); err != nil {
		return "", 0, fmt.Errorf("%s: the offset %q is no number", at, s[i+1:])
	}
	return s[:i], offset, nil
}

// cutPID takes what stands before ,pid=N and the number of the process apart; 0: there is
// none.
func cutPID(at hook.Point) (rest string, pid int, err error) {
	i := strings.LastIndex(at.Target, ",pid=")
	if i < 0 {
		return at.Target, 0, nil
	}
	rest, digits := at.Target[:i], at.Target[i+len(",pid="):]
	if pid, err = strconv.Atoi(digits); err != nil || pid <= 0 {
		return "", 0, fmt.Errorf("%s: %q is not the number of a process", at, digits)
	}
	return rest, pid, nil
}

// syscallPrefixes are what the names of system calls' functions begin with.
var syscallPrefixes = map[string]string{"amd64": "__x64_sys_", "arm64": "__arm64_sys_"}

// planSyscall attaches to the function that does a system call.
func planSyscall(_ *Collection, prog *ebpf.Program, at hook.Point) (func() (io.Closer, error), error) {
	prefix, ok := syscallPrefixes[runtime.GOARCH]
	if !ok {
		return nil, fmt.Errorf("%s: skep does not know what the functions of system calls are called on %s: use kprobe", at, runtime.GOARCH)
	}
	name := prefix + at.Target
	if calls, err := symbols(prefix); err == nil && len(calls) > 0 && !slices.Contains(calls, at.Target) {
		return nil, fmt.Errorf("the kernel has no system call %s%s", at.Target, suggest.Name(at.Target, calls))
	}
	if err := haveKprobes(); err != nil {
		return nil, err
	}
	return func() (io.Closer, error) {
		if at.Kind.Name == "kretsyscall" {
			return link.Kretprobe(name, prog, nil)
		}
		return link.Kprobe(name, prog, nil)
	}, nil
}

// planKprobeMulti attaches to all functions whose names match a pattern, at once.
func planKprobeMulti(_ *Collection, prog *ebpf.Program, at hook.Point) (func() (io.Closer, error), error) {
	if at.Kind.Name == "kprobe.session" && errors.Is(features.HaveBPFLinkKprobeSession(), ebpf.ErrNotSupported) {
		return nil, fmt.Errorf("%s: %w here, but since Linux 6.10 with CONFIG_FPROBE: attach one program at kprobe.multi and one at kretprobe.multi", at, ebpf.ErrNotSupported)
	}
	oneByOne := at.Kind.Attach == ebpf.AttachTraceKprobeMulti && lacksKprobeMulti()
	if oneByOne {
		if err := haveKprobes(); err != nil {
			return nil, err
		}
	}
	found, err := matching(at.Target)
	if err != nil {
		return nil, err
	}
	if oneByOne {
		return func() (io.Closer, error) { return attachKprobes(prog, at, found) }, nil
	}
	opts := link.KprobeMultiOptions{Symbols: found, Session: at.Kind.Name == "kprobe.session"}
	return func() (io.Closer, error) {
		if at.Kind.Name == "kretprobe.multi" {
			return link.KretprobeMulti(prog, opts)
		}
		return link.KprobeMulti(prog, opts)
	}, nil
}

// lacksKprobeMulti reports whether the kernel attaches to one function at a time alone.
func lacksKprobeMulti() bool {
	return errors.Is(features.HaveBPFLinkKprobeMulti(), ebpf.ErrNotSupported)
}

// aimKprobe has a program that is attached to many functions be loaded for one, where
// the kernel attaches to no more.
func aimKprobe(p *ebpf.ProgramSpec, at hook.Point) {
	if at.Kind.Attach == ebpf.AttachTraceKprobeMulti && p.Type == ebpf.Kprobe && lacksKprobeMulti() {
		p.AttachType = ebpf.AttachNone
	}
}

// attachKprobes attaches to functions one by one. Not each that can be traced can be
// probed so: those are left out, and counted.
func attachKprobes(prog *ebpf.Program, at hook.Point, functions []string) (io.Closer, error) {
	attach := link.Kprobe
	if at.Kind.Name == "kretprobe.multi" {
		attach = link.Kretprobe
	}
	var all closers
	var refused error
	for _, name := range functions {
		l, err := attach(name, prog, nil)
		switch {
		case err == nil:
			all = append(all, l)
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EADDRNOTAVAIL), errors.Is(err, fs.ErrNotExist):
			refused = fmt.Errorf("function %s: %w", name, err)
		default:
			return nil, errors.Join(fmt.Errorf("function %s: %w", name, err), all.Close())
		}
	}
	if len(all) == 0 {
		return nil, refused
	}
	how := fmt.Sprintf("by single probes (%d), as this kernel has no kprobe.multi (Linux 5.18 has, with CONFIG_FPROBE)", len(all))
	if left := len(functions) - len(all); left > 0 {
		how += fmt.Sprintf("; %d functions cannot be probed so", left)
	}
	return otherwise{all, how}, nil
}
