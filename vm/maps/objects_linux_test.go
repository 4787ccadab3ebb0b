package maps

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// objects are things of the kernel that a map's keys or values stand for, by file
// descriptor. The same number stands for them in our map.
type objects struct {
	open   func(*testing.T) []int
	values bool // they are values, otherwise keys
	fresh  bool // each sequence has its own: Linux keeps what they are in for a while
	opened []int
	owner  *testing.T // the test that they are open for
}

// get opens the objects once a test.
func (o *objects) get(t *testing.T) []int {
	if o.owner != t {
		o.owner, o.opened = t, nil
	}
	if o.fresh {
		for _, fd := range o.opened {
			must(t, unix.Close(fd))
		}
	}
	if o.opened == nil || o.fresh {
		o.opened = o.open(t)
	}
	return o.opened
}

func storages(typ ebpf.MapType) []ebpf.MapSpec {
	locked := withValue(typ, structOf("locked", opaque("bpf_spin_lock"), u32Type, u64Type))
	locked.MaxEntries, locked.Flags = 0, FlagNoPrealloc
	clone := goodSpec(typ)
	clone.Flags |= FlagClone
	return append(variants(typ), locked, clone)
}

// udpSockets are sockets that are bound to loopback.
func udpSockets(t *testing.T) []int {
	fds := sockets(t, false)
	t.Cleanup(func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	})
	return fds
}

// reusePort are sockets that share a port; the caller closes them.
func reusePort(t *testing.T) []int { return sockets(t, true) }

func sockets(t *testing.T, share bool) (fds []int) {
	addr := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	for range 4 {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		must(t, err)
		if share {
			must(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
		}
		must(t, unix.Bind(fd, addr))
		if share && addr.Port == 0 {
			bound, err := unix.Getsockname(fd)
			must(t, err)
			addr.Port = bound.(*unix.SockaddrInet4).Port
		}
		fds = append(fds, fd)
	}
	return fds
}

// processes are children of the test that sleep.
func processes(t *testing.T) (fds []int) {
	for range 3 {
		cmd := exec.Command("sleep", "600")
		if err := cmd.Start(); err != nil {
			t.Skipf("cannot start a process: %v", err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		fd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
		must(t, err)
		t.Cleanup(func() { unix.Close(fd) })
		fds = append(fds, fd)
	}
	return fds
}

func files(t *testing.T) (fds []int) {
	dir := t.TempDir()
	for i := range 3 {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
		must(t, err)
		t.Cleanup(func() { f.Close() })
		fds = append(fds, int(f.Fd()))
	}
	return fds
}

// cgroupRoot is where cgroups of version 2 are mounted.
func cgroupRoot(t *testing.T) string {
	mounts, err := os.ReadFile("/proc/self/mounts")
	must(t, err)
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "cgroup2" {
			return f[1]
		}
	}
	t.Skip("no cgroups of version 2 are mounted")
	return ""
}

// cgroups are empty cgroups of the test's own.
func cgroups(t *testing.T) (fds []int) {
	root := filepath.Join(cgroupRoot(t), fmt.Sprintf("skep-test-%d", os.Getpid()))
	if err := os.Mkdir(root, 0o755); err != nil && !os.IsExist(err) {
		t.Skipf("cannot make a cgroup: %v", err)
	}
	t.Cleanup(func() { os.Remove(root) })
	for i := range 3 {
		dir := filepath.Join(root, fmt.Sprint(i))
		must(t, os.Mkdir(dir, 0o755))
		t.Cleanup(func() { os.Remove(dir) })
		f, err := os.Open(dir)
		must(t, err)
		t.Cleanup(func() { f.Close() })
		fds = append(fds, int(f.Fd()))
	}
	return fds
}
