package kernel

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/internal/testenv"
)

// ownCgroup makes a cgroup of the test's own and gives its folder.
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

// inCgroup runs a test again in a process that is in a cgroup from its start, with a
// variable that says what it does there.
func inCgroup(t *testing.T, dir, variable, value string) {
	t.Helper()
	group, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer group.Close()
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()[:strings.IndexByte(t.Name()+"/", '/')]+"$")
	cmd.Env = append(os.Environ(), variable+"="+value)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(group.Fd())}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("in the cgroup: %v: %s", err, out)
	}
}

// inCgroups are what a process does that programs of cgroups see.
var inCgroups = map[string]func() error{
	"cgroup_skb/ingress":      func() error { return datagram("udp4", "127.0.0.1:0") },
	"cgroup_skb/egress":       func() error { return datagram("udp4", "127.0.0.1:0") },
	"cgroup/sock_create":      func() error { return datagram("udp4", "127.0.0.1:0") },
	"cgroup/sock_release":     func() error { return datagram("udp4", "127.0.0.1:0") },
	"cgroup/bind4":            func() error { return datagram("udp4", "127.0.0.1:0") },
	"cgroup/bind6":            func() error { return datagram("udp6", "[::1]:0") },
	"cgroup/post_bind4":       func() error { return datagram("udp4", "127.0.0.1:0") },
	"cgroup/post_bind6":       func() error { return datagram("udp6", "[::1]:0") },
	"cgroup/sendmsg4":         func() error { return datagram("udp4", "127.0.0.1:0") },
	"cgroup/sendmsg6":         func() error { return datagram("udp6", "[::1]:0") },
	"cgroup/sendmsg_unix":     func() error { return datagram("unixgram", "@skep-test-datagram") },
	"cgroup/recvmsg4":         func() error { return datagram("udp4", "127.0.0.1:0") },
	"cgroup/recvmsg6":         func() error { return datagram("udp6", "[::1]:0") },
	"cgroup/recvmsg_unix":     func() error { return datagram("unixgram", "@skep-test-datagram") },
	"cgroup/connect4":         func() error { return connection("tcp4", "127.0.0.1:0") },
	"cgroup/connect6":         func() error { return connection("tcp6", "[::1]:0") },
	"cgroup/connect_unix":     func() error { return connection("unix", "@skep-test-stream") },
	"cgroup/getpeername4":     func() error { return connection("tcp4", "127.0.0.1:0") },
	"cgroup/getpeername6":     func() error { return connection("tcp6", "[::1]:0") },
	"cgroup/getpeername_unix": func() error { return connection("unix", "@skep-test-stream") },
	"cgroup/getsockname4":     func() error { return connection("tcp4", "127.0.0.1:0") },
	"cgroup/getsockname6":     func() error { return connection("tcp6", "[::1]:0") },
	"cgroup/getsockname_unix": func() error { return connection("unix", "@skep-test-stream") },
	"cgroup/getsockopt":       func() error { return connection("tcp4", "127.0.0.1:0") },
	"cgroup/setsockopt":       func() error { return connection("tcp4", "127.0.0.1:0") },
	"sockops":                 func() error { return connection("tcp4", "127.0.0.1:0") },
	"cgroup/sysctl": func() error {
		_, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
		return err
	},
	"cgroup/dev": func() error {
		f, err := os.Open("/dev/zero")
		return errors.Join(err, f.Close())
	},
}

// datagram sends one to the own socket and receives it.
func datagram(network, address string) error {
	c, err := net.ListenPacket(network, address)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.WriteTo([]byte("hello"), c.LocalAddr()); err != nil {
		return err
	}
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	_, _, err = c.ReadFrom(make([]byte, 16))
	return err
}

// connection connects to the own socket, asks for names and options, and sends something.
func connection(network, address string) error {
	l, err := net.Listen(network, address)
	if err != nil {
		return err
	}
	defer l.Close()
	c, err := net.DialTimeout(network, l.Addr().String(), 5*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	var errs [4]error
	err = raw.Control(func(fd uintptr) {
		_, errs[0] = unix.Getpeername(int(fd))
		_, errs[1] = unix.Getsockname(int(fd))
		errs[2] = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PRIORITY, 1)
		_, errs[3] = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PRIORITY)
	})
	if err = errors.Join(append(errs[:], err)...); err != nil {
		return err
	}
	peer, err := l.Accept()
	if err != nil {
		return err
	}
	defer peer.Close()
	if _, err := c.Write([]byte("hello")); err != nil {
		return err
	}
	_, err = io.ReadFull(peer, make([]byte, 5))
	return err
}

// TestCgroups attaches a program of each kind to a cgroup of the test's own, in which a
// process does what it sees.
func TestCgroups(t *testing.T) {
	const variable = "SKEP_TEST_IN_CGROUP"
	if kind := os.Getenv(variable); kind != "" {
		if err := inCgroups[kind](); err != nil {
			t.Fatal(err)
		}
		return
	}
	dir := ownCgroup(t)
	for _, k := range hook.Kinds() {
		if !strings.HasPrefix(k.Name, "cgroup") && k.Name != "sockops" {
			continue
		}
		t.Run(k.Name, func(t *testing.T) {
			if strings.HasSuffix(k.Name, "_unix") {
				testenv.KernelFrom(t, 6, 7, "programs of cgroups do not see sockets of Unix")
			}
			ownNetwork(t)
			hits := attached(t, counting(k.Name, k.Prog, k.Attach, "", 1), k.Name+"/"+dir)
			if n := hits(); n != 0 {
				t.Errorf("the program ran %d times for nothing", n)
			}
			inCgroup(t, dir, variable, k.Name)
			if hits() == 0 {
				t.Error("the program did not run")
			}
		})
	}
}

// TestLSMCgroup attaches to a security hook for the processes of a cgroup of the test's own.
func TestLSMCgroup(t *testing.T) {
	const variable = "SKEP_TEST_IN_CGROUP"
	if os.Getenv(variable) != "" {
		if err := datagram("udp4", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		return
	}
	needs(t, "lsm_cgroup")
	dir := ownCgroup(t)
	t.Run("lsm_cgroup/socket_bind", func(t *testing.T) {
		ownNetwork(t)
		at := "lsm_cgroup/socket_bind:" + dir
		hits := attached(t, counting("lsm_cgroup/socket_bind", ebpf.LSM, ebpf.AttachLSMCgroup, "socket_bind", 1), at)
		if err := datagram("udp4", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		if n := hits(); n != 0 {
			t.Errorf("the program ran %d times for what is not in the cgroup", n)
		}
		inCgroup(t, dir, variable, "bind")
		if hits() == 0 {
			t.Error("the program did not run")
		}
	})
	for target, want := range map[string]string{
		"socket_bint:" + dir: "the kernel has no security hook socket_bint; did you mean socket_bind?",
		"socket_bind":        "want a security hook and a cgroup's folder, as hook:path, such as lsm_cgroup/socket_bind:/sys/fs/cgroup/mine",
		dir:                  "",
	} {
		at := []hook.Attachment{{Program: "count", Point: hook.Point{Kind: hook.Find("lsm_cgroup"), Target: target}}}
		c, err := Load(counting("lsm_cgroup/socket_bind", ebpf.LSM, ebpf.AttachLSMCgroup, "socket_bind", 1), &Options{At: at})
		if err == nil {
			_, err = c.Attach(at)
			c.Close()
		}
		if errors.Is(err, ebpf.ErrNotSupported) || errors.Is(err, unix.EPERM) {
			continue // this kernel takes no such programs
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", target, err, want)
		}
	}
}

// A folder that is no cgroup is an error that says what is there.
func TestCgroupRefused(t *testing.T) {
	dir := ownCgroup(t)
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
}
