package kernel

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

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
	return func() (io.Closer, error) {
		if at.Kind.Name == "kretprobe" {
			return link.Kretprobe(name, prog, nil)
		}
		return link.Kprobe(name, prog, &link.KprobeOptions{Offset: offset})
	}, nil
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
	return func() (io.Closer, error) {
		if at.Kind.Name == "kretsyscall" {
			return link.Kretprobe(name, prog, nil)
		}
		return link.Kprobe(name, prog, nil)
	}, nil
}

// planKprobeMulti attaches to all functions whose names match a pattern, at once.
func planKprobeMulti(_ *Collection, prog *ebpf.Program, at hook.Point) (func() (io.Closer, error), error) {
	found, err := matching(at.Target)
	if err != nil {
		return nil, err
	}
	opts := link.KprobeMultiOptions{Symbols: found, Session: at.Kind.Name == "kprobe.session"}
	return func() (io.Closer, error) {
		if at.Kind.Name == "kretprobe.multi" {
			return link.KretprobeMulti(prog, opts)
		}
		return link.KprobeMulti(prog, opts)
	}, nil
}
