package kernel

import (
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/internal/suggest"
)

func init() {
	for _, k := range hook.Kinds() {
		if strings.HasPrefix(k.Name, "cgroup") {
			families[k.Name] = planCgroup
		}
	}
	families["sockops"], families["lsm_cgroup"] = planCgroup, planCgroup
}

// planCgroup attaches to a cgroup of version 2, beside the programs that are there.
func planCgroup(_ *Collection, prog *ebpf.Program, at hook.Point) (func() (io.Closer, error), error) {
	dir := at.Target
	if at.Kind.Name == "lsm_cgroup" {
		if _, dir = lsmCgroupTarget(at); dir == "" {
			return nil, fmt.Errorf("%s: want %s, such as %s", at, at.Kind.Wants, at.Kind.Example)
		}
	}
	if err := checkCgroup(dir); err != nil {
		return nil, err
	}
	return func() (io.Closer, error) {
		return link.AttachCgroup(link.CgroupOptions{Path: dir, Attach: at.Kind.Attach, Program: prog})
	}, nil
}

// checkCgroup looks for a cgroup's folder.
func checkCgroup(dir string) error {
	var st unix.Statfs_t
	switch err := unix.Statfs(dir, &st); {
	case err == nil && st.Type == unix.CGROUP2_SUPER_MAGIC:
		return nil
	case err == nil:
		return fmt.Errorf("%s is no cgroup of version 2: these are folders where cgroup2 is mounted, mostly /sys/fs/cgroup", dir)
	default:
		near := suggest.Name(filepath.Base(dir), folders(filepath.Dir(dir)))
		return fmt.Errorf("cgroup: %w%s", &fs.PathError{Op: "stat", Path: dir, Err: err}, near)
	}
}
