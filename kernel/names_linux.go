package kernel

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/internal/suggest"
)

// tracefs is where the kernel lists what can be traced. Where nobody has mounted it, it is
// mounted for this process alone, at no place in the file system.
var tracefs = sync.OnceValues(func() (dir string, err error) {
	for _, dir := range []string{"/sys/kernel/tracing", "/sys/kernel/debug/tracing"} {
		if _, err := os.Stat(filepath.Join(dir, "events")); !errors.Is(err, fs.ErrNotExist) {
			return dir, err
		}
	}
	fd, err := mountDetached("tracefs")
	if err != nil {
		return "", fmt.Errorf("what can be traced is listed in tracefs, which is not mounted (mount -t tracefs tracefs /sys/kernel/tracing), and to mount it for skep alone failed: %w", err)
	}
	return fmt.Sprintf("/proc/self/fd/%d", fd), nil
})

// mountDetached mounts a file system without a place, and gives a descriptor of its root.
func mountDetached(name string) (root int, err error) {
	fs, err := unix.Fsopen(name, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return 0, err
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
}

// tracepointID is the number of a tracepoint of a category.
func tracepointID(category, name string) (uint64, error) {
	dir, err := tracefs()
	if err != nil {
		return 0, err
	}
	events := filepath.Join(dir, "events")
	text, err := os.ReadFile(filepath.Join(events, category, name, "id"))
	if err == nil {
		return strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	if _, err := os.Stat(filepath.Join(events, category)); err != nil {
		return 0, fmt.Errorf("the kernel has no tracepoints of category %s%s", category, suggest.Name(category, folders(events)))
	}
	return 0, fmt.Errorf("the kernel has no tracepoint %s/%s%s", category, name, suggest.Name(name, folders(filepath.Join(events, category))))
}

// checkRawTracepoint looks for a tracepoint of any category.
func checkRawTracepoint(name string) error {
	dir, err := tracefs()
	if err != nil {
		return nil // the kernel says what it thinks of it
	}
	// System calls' events are made of two tracepoints that have no event.
	names := []string{"sys_enter", "sys_exit"}
	events := filepath.Join(dir, "events")
	if slices.Contains(names, name) || slices.ContainsFunc(folders(events), func(category string) bool {
		_, err := os.Stat(filepath.Join(events, category, name))
		return err == nil
	}) {
		return nil
	}
	types, err := runningTypes.Kernel()
	if err == nil && hasType[*btf.Typedef](types, "btf_trace_"+name) {
		return nil // one without an event
	}
	found, _ := filepath.Glob(filepath.Join(events, "*", "*"))
	for _, at := range found {
		names = append(names, path.Base(at))
	}
	return fmt.Errorf("the kernel has no tracepoint %s%s", name, suggest.Name(name, names))
}

// folders are the names of the folders in one.
func folders(dir string) (names []string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// functions are the kernel's functions that can be probed, where the kernel tells.
func functions() ([]string, error) {
	dir, err := tracefs()
	if err != nil {
		return nil, err
	}
	names, err := namesIn(filepath.Join(dir, "available_filter_functions"), func(line string) (string, bool) {
		name, _, _ := strings.Cut(line, " ") // the module follows
		return name, true
	})
	if failed := new(fs.PathError); errors.As(err, &failed) {
		err = fmt.Errorf("file available_filter_functions of tracefs: %w", failed.Err)
	}
	return names, err
}

// namesIn gives the names in the lines of a file, of those that have one.
func namesIn(path string, nameOf func(line string) (string, bool)) (names []string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if name, ok := nameOf(lines.Text()); ok {
			names = append(names, name)
		}
	}
	return names, lines.Err()
}

// symbols are the kernel's symbols that begin so, without that beginning.
func symbols(prefix string) ([]string, error) {
	return namesIn("/proc/kallsyms", func(line string) (string, bool) {
		fields := strings.Fields(line)
		if len(fields) < 3 {
			return "", false
		}
		return strings.CutPrefix(fields[2], prefix)
	})
}

// checkFunction looks for a function of the kernel.
func checkFunction(name string) error {
	all, err := symbols("")
	if err != nil || len(all) == 0 || slices.Contains(all, name) {
		return nil
	}
	return fmt.Errorf("the kernel has no function %s%s", name, suggest.Name(name, all))
}

// isPattern reports whether a name has signs that stand for others.
func isPattern(name string) bool { return strings.ContainsAny(name, "*?") }

// pattern is what names match in which * stands for anything and ? for one character.
func pattern(name string) *regexp.Regexp {
	text := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(name))
	return regexp.MustCompile("^" + text + "$")
}

// matching are the functions that can be probed and whose names match a pattern.
func matching(wanted string) ([]string, error) {
	all, err := functions()
	if err != nil {
		return nil, fmt.Errorf("look for functions %s: %w", wanted, err)
	}
	expr := pattern(wanted)
	found := slices.DeleteFunc(slices.Clone(all), func(name string) bool { return !expr.MatchString(name) })
	if len(found) == 0 {
		return nil, fmt.Errorf("no function of the kernel that can be probed matches %s%s", wanted, suggest.Name(strings.Trim(wanted, "*"), all))
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}
