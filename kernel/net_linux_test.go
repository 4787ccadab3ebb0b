package kernel

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/internal/testenv"
)

// TestInterfaces attaches to interfaces of a network of the test's own.
func TestInterfaces(t *testing.T) {
	for _, tc := range []struct {
		at     string
		typ    ebpf.ProgramType
		attach ebpf.AttachType
		result int32
		from   string // the interface that transmits
	}{
		{"tcx/ingress/left", ebpf.SchedCLS, ebpf.AttachTCXIngress, -1, "right"},
		{"tcx/egress/left", ebpf.SchedCLS, ebpf.AttachTCXEgress, -1, "left"},
		{"clsact/ingress/left", ebpf.SchedCLS, 0, -1, "right"},
		{"clsact/egress/left@7", ebpf.SchedCLS, 0, 0, "left"},
		{"socket/left", ebpf.SocketFilter, 0, 0, "right"},
	} {
		t.Run(tc.at, func(t *testing.T) {
			ownNetwork(t)
			hits := attached(t, counting(tc.at, tc.typ, tc.attach, "", tc.result), tc.at)
			before := hits()
			send(t, tc.from)
			if n := hits() - before; n != 1 {
				t.Errorf("the program ran %d times for one packet", n)
			}
		})
	}
}

// dial has this process send a datagram to itself over the loopback interface.
func dial(t *testing.T) {
	t.Helper()
	l, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("udp4", l.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
}

// TestNetfilter attaches to hooks of netfilter in a network of the test's own.
func TestNetfilter(t *testing.T) {
	for _, at := range []string{"netfilter/ipv4/local_out", "netfilter/ipv4/local_in@-100"} {
		t.Run(at, func(t *testing.T) {
			ownNetwork(t)
			hits := attached(t, counting("netfilter", ebpf.Netfilter, ebpf.AttachNetfilter, "", 1), at)
			before := hits()
			dial(t)
			if hits() == before {
				t.Error("the program did not run")
			}
		})
	}
}

// TestNetNS attaches to a network namespace of the test's own.
func TestNetNS(t *testing.T) {
	for _, tc := range []struct {
		at     string
		typ    ebpf.ProgramType
		attach ebpf.AttachType
	}{
		{"sk_lookup", ebpf.SkLookup, ebpf.AttachSkLookup},
		{"sk_lookup//proc/thread-self/ns/net", ebpf.SkLookup, ebpf.AttachSkLookup},
	} {
		t.Run(tc.at, func(t *testing.T) {
			ownNetwork(t)
			hits := attached(t, counting("sk_lookup", tc.typ, tc.attach, "", 1), tc.at)
			before := hits()
			dial(t)
			if hits() == before {
				t.Error("the program did not run")
			}
		})
	}
}

// ownCgroup makes a cgroup of the test's own, and moves this process's thread into it
// where threads may be moved; it gives the folder.
func ownCgroup(t *testing.T) string {
	t.Helper()
	testenv.Kernel(t)
	root := "/sys/fs/cgroup"
	var st unix.Statfs_t
	if err := unix.Statfs(root, &st); err != nil || st.Type != unix.CGROUP2_SUPER_MAGIC {
		root = t.TempDir()
		if err := unix.Mount("cgroup2", root, "cgroup2", 0, ""); err != nil {
			t.Skipf("no cgroups of version 2: %v", err)
		}
		t.Cleanup(func() { _ = unix.Unmount(root, unix.MNT_DETACH) })
	}
	dir, err := os.MkdirTemp(root, "skep-test-")
	if err != nil {
		t.Skipf("no cgroup of the test's own: %v", err)
	}
	t.Cleanup(func() { _ = unix.Rmdir(dir) })
	return dir
}

// TestCgroups attaches a program of each kind to a cgroup of the test's own. What they
// do is Linux's; that they are there, and gone afterwards, is looked at here.
func TestCgroups(t *testing.T) {
	dir := ownCgroup(t)
	for _, k := range hook.Kinds() {
		if !strings.HasPrefix(k.Name, "cgroup") && k.Name != "sockops" {
			continue
		}
		t.Run(k.Name, func(t *testing.T) {
			attached(t, counting(k.Name, k.Prog, k.Attach, "", 1), k.Name+"/"+dir)
		})
	}
	t.Run("a folder that is none", func(t *testing.T) {
		c, err := Load(counting("cgroup/connect4", ebpf.CGroupSockAddr, ebpf.AttachCGroupInet4Connect, "", 1), &Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for path, want := range map[string]string{
			t.TempDir(): "is no cgroup of version 2",
			filepath.Dir(dir) + "/" + filepath.Base(dir) + "x": "did you mean " + filepath.Base(dir) + "?",
		} {
			at, err := hook.Parse("cgroup/connect4/" + path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Attach([]hook.Attachment{{Program: "count", Point: at}}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want an error with %q", path, err, want)
			}
		}
	})
}
