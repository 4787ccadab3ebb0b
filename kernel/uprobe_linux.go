package kernel

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"

	"github.com/skep-ebpf/skep/hook"
)

func init() {
	for _, kind := range []string{"uprobe", "uretprobe", "uprobe.multi", "uretprobe.multi", "uprobe.session"} {
		families[kind] = planUprobe
	}
}

// uprobe is where in a file a program is attached: PATH:NAME, PATH:NAME+OFFSET or
// PATH:0xOFFSET into the file, with ,pid=N behind it for one process. The name may be a
// pattern, and that of a C++ or Rust function as one writes it.
type uprobe struct {
	path, name string
	pid        int
}

func parseUprobe(at hook.Point) (u uprobe, err error) {
	target, pid, err := cutPID(at)
	if err != nil {
		return u, err
	}
	path, name, ok := cutPath(target)
	if !ok {
		return u, fmt.Errorf("%s: want %s, such as %s", at, at.Kind.Wants, at.Kind.Example)
	}
	path, err = findFile(path)
	return uprobe{path, name, pid}, err
}

// cutPath takes PATH:NAME apart. Both may have colons: the path is the shortest that
// there is.
func cutPath(target string) (path, name string, ok bool) {
	for i := range len(target) {
		if target[i] == ':' && i > 0 && i < len(target)-1 {
			if _, err := os.Stat(target[:i]); err == nil {
				return target[:i], target[i+1:], true
			}
		}
	}
	path, name, _ = strings.Cut(target, ":")
	return path, name, path != "" && name != ""
}

// uprobePlace is one place in a file at which a program runs.
type uprobePlace struct {
	offset  uint64 // in the file
	counter uint64 // in the file, of a counter of those that are attached; 0: none
	cookie  uint64 // what bpf_get_attach_cookie gives the program
}

// places finds what is meant in the file.
func (u *uprobe) places(at hook.Point) ([]uprobePlace, error) {
	if strings.HasPrefix(u.name, "0x") {
		offset, err := strconv.ParseUint(u.name, 0, 63)
		if err != nil || offset == 0 {
			return nil, fmt.Errorf("%s: %q is no address", at, u.name)
		}
		return []uprobePlace{{offset: offset}}, nil
	}
	functions, err := fileFunctions(u.path)
	if err != nil {
		return nil, err
	}
	found, add := functions.find(u.name), uint64(0)
	if len(found) == 0 {
		var name string
		if name, add, err = cutOffset(at, u.name); err != nil {
			return nil, err
		}
		found = functions.find(name)
	}
	if len(found) == 0 {
		return nil, functions.unknown(u.name)
	}
	if add != 0 && strings.HasPrefix(at.Kind.Name, "uret") {
		return nil, fmt.Errorf("%s: a function returns as a whole: leave the offset away", at)
	}
	places := make([]uprobePlace, len(found))
	for i, offset := range found {
		places[i].offset = offset + add
	}
	return places, nil
}

// planUprobe attaches to functions in a file, or to their return.
func planUprobe(_ *Collection, prog *ebpf.Program, at hook.Point) (func() (io.Closer, error), error) {
	u, err := parseUprobe(at)
	if err != nil {
		return nil, err
	}
	places, err := u.places(at)
	if err != nil {
		return nil, err
	}
	if err := haveUprobeSessions(at); err != nil {
		return nil, err
	}
	return func() (io.Closer, error) { return attachUprobes(prog, at, u.path, u.pid, places) }, nil
}

// uprobeAttachType is what a program is loaded for. Where it may be many places Linux
// attaches it to all of them with one link, from 6.6 on; one link for each takes long to close.
func uprobeAttachType(at hook.Point) ebpf.AttachType {
	switch {
	case at.Kind.Attach == hook.AttachTraceUprobeSession:
		return hook.AttachTraceUprobeSession
	case at.Kind.Name != "usdt" && at.Kind.Attach != ebpf.AttachTraceUprobeMulti && !isPattern(at.Target),
		features.HaveBPFLinkUprobeMulti() != nil:
		return ebpf.AttachNone
	}
	return ebpf.AttachTraceUprobeMulti
}

// aimUprobe has a program that is attached in files loaded for that.
func aimUprobe(p *ebpf.ProgramSpec, at hook.Point) {
	if p.Type == ebpf.Kprobe && (at.Kind.Name == "usdt" || strings.HasPrefix(at.Kind.Name, "uprobe") || strings.HasPrefix(at.Kind.Name, "uretprobe")) {
		p.AttachType = uprobeAttachType(at)
	}
}

// attachUprobes attaches a program to places in a file.
func attachUprobes(prog *ebpf.Program, at hook.Point, path string, pid int, places []uprobePlace) (io.Closer, error) {
	returns := strings.HasPrefix(at.Kind.Name, "uret")
	switch uprobeAttachType(at) {
	case hook.AttachTraceUprobeSession:
		return attachUprobeSession(prog, path, pid, places)
	case ebpf.AttachTraceUprobeMulti:
		return attachUprobeMulti(prog, path, pid, returns, places)
	}
	file, err := link.OpenExecutable(path)
	if err != nil {
		return nil, err
	}
	attach := file.Uprobe
	if returns {
		attach = file.Uretprobe
	}
	var all closers
	for _, p := range places {
		l, err := attach("skep", prog, &link.UprobeOptions{Address: p.offset, PID: pid, RefCtrOffset: p.counter, Cookie: p.cookie})
		if err != nil {
			all.Close()
			return nil, err
		}
		all = append(all, l)
	}
	if at.Kind.Attach == ebpf.AttachTraceUprobeMulti {
		return otherwise{all, fmt.Sprintf("by single probes (%d), as this kernel has no uprobe.multi (Linux 6.6 has)", len(all))}, nil
	}
	return all, nil
}

func attachUprobeMulti(prog *ebpf.Program, path string, pid int, returns bool, places []uprobePlace) (io.Closer, error) {
	file, err := link.OpenExecutable(path)
	if err != nil {
		return nil, err
	}
	opts := &link.UprobeMultiOptions{PID: uint32(pid)}
	opts.Addresses, opts.RefCtrOffsets, opts.Cookies = columns(places)
	if returns {
		return file.UretprobeMulti(nil, prog, opts)
	}
	return file.UprobeMulti(nil, prog, opts)
}

// columns are the fields of places, in arrays as the kernel takes them.
func columns(places []uprobePlace) (offsets, counters, cookies []uint64) {
	for _, p := range places {
		offsets, counters, cookies = append(offsets, p.offset), append(counters, p.counter), append(cookies, p.cookie)
	}
	return offsets, counters, cookies
}
