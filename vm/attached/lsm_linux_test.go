package attached

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/cilium/ebpf/link"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/vm/exec"
)

// errnoOf is a system call's result as the kernel gives it: 0, or a negated error
// number.
func errnoOf(err error) int64 {
	var n syscall.Errno
	if errors.As(err, &n) {
		return -int64(n)
	}
	return 0
}

// TestFileOpen has a program judge how this process opens files of its own.
func TestFileOpen(t *testing.T) {
	const prog = "judged"
	spec := open(t, "lsm", prog, "")
	linux := inKernel(t, spec.Copy())
	dir := t.TempDir()
	files := []struct {
		name  string
		size  int
		flags int
	}{
		{"p-", 0, os.O_RDONLY}, {"p-again", 5, os.O_RDWR}, {"n-", 1, os.O_RDONLY}, {"a-long-name", 2, os.O_WRONLY},
		{"l-", 3, os.O_RDONLY}, {"o-", 4, os.O_RDWR}, {"x", 5, os.O_RDONLY},
	}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(dir, f.name), make([]byte, f.size), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	l, err := link.AttachLSM(link.LSMOptions{Program: linux.Programs[prog]})
	attach(t, l, err)
	for _, f := range files {
		give(t, linux.Variables)
		file, err := os.OpenFile(filepath.Join(dir, f.name), f.flags, 0)
		if err == nil {
			file.Close()
		}
		want := find(t, linux.Variables)
		ret, got := runOn(t, spec.Copy(), prog, fmt.Sprintf(
			"file: {f_path: {dentry: {d_name: {name: %s}}}, f_inode: {i_mode: %d, i_size: %d}, f_flags: %d}",
			f.name, 0o100640, f.size, f.flags), exec.Trace{})
		if diff := cmp.Diff(want, got); diff != "" || int64(int32(ret)) != errnoOf(err) {
			t.Errorf("%s: the machine says %d, and opening gives %d; kernel - / machine +\n%s", f.name, int32(ret), errnoOf(err), diff)
		}
	}
}
