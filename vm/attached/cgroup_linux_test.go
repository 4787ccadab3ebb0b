package attached

import (
	"encoding/binary"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/vm/world"
)

// A group is a cgroup of the test's own.
type group struct {
	dir string
	id  uint64
}

// ownGroup makes a cgroup, in which this process is until the test ends.
func ownGroup(t *testing.T) group {
	t.Helper()
	testenv.Kernel(t)
	root := t.TempDir()
	if err := unix.Mount("cgroup2", root, "cgroup2", 0, ""); err != nil {
		t.Skipf("no cgroups of version 2: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(root, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	before, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	home := ""
	for line := range strings.Lines(string(before)) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			home = strings.TrimSpace(path)
		}
	}
	dir, err := os.MkdirTemp(root, "skep-test-")
	if err != nil {
		t.Skipf("no cgroup of the test's own: %v", err)
	}
	enter := func(dir string) error {
		return os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0)
	}
	t.Cleanup(func() {
		if err := enter(filepath.Join(root, home)); err != nil {
			t.Error(err)
		}
		if err := unix.Rmdir(dir); err != nil {
			t.Error(err)
		}
	})
	if err := enter(dir); err != nil {
		t.Skipf("this process cannot be moved into a cgroup: %v", err)
	}
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		t.Fatal(err)
	}
	return group{dir, st.Ino}
}

// attach gives a function that has a program see what this process does.
func (g *group) attach(at ebpf.AttachType) func(*ebpf.Program) (io.Closer, error) {
	return func(p *ebpf.Program) (io.Closer, error) {
		return link.AttachCgroup(link.CgroupOptions{Path: g.dir, Attach: at, Program: p})
	}
}

// groupPath is the cgroup's in a world.
const groupPath = "/own"

// world is a world of this process in the cgroup, with one socket, the context's.
func (g *group) world(s *world.Socket) *world.Description {
	d := &world.Description{
		Cgroups: []world.Cgroup{{Path: groupPath, ID: g.id}},
		Processes: []world.Process{{
			PID: uint32(os.Getpid()), PPID: uint32(os.Getppid()), UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), Cgroup: groupPath,
		}},
		Current: world.Current{PID: uint32(os.Getpid())},
	}
	if s != nil {
		s.Name, s.Cgroup = "own", groupPath
		d.Sockets, d.Current.Socket = []world.Socket{*s}, "own"
	}
	return d
}

// sockaddr is an address as system calls take it.
func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// addrPort is the reverse of sockaddr.
func addrPort(a unix.Sockaddr) netip.AddrPort {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port))
	}
	return netip.AddrPort{}
}

// newSocket makes a socket of a family and a type that is closed when the test ends,
// and gives what a world says of it.
func newSocket(t *testing.T, local netip.Addr, typ int) (fd int, s *world.Socket) {
	t.Helper()
	family := unix.AF_INET
	if !local.Is4() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, typ, 0)
	if err != nil {
		t.Skipf("no socket: %v", err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	s = &world.Socket{Proto: "udp", State: "close", Local: netip.AddrPortFrom(local, 0), UID: uint32(os.Getuid())}
	if typ == unix.SOCK_STREAM {
		s.Proto = "tcp"
	}
	if s.Cookie, err = unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_COOKIE); err != nil {
		t.Fatal(err)
	}
	if cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, 71 /* SO_NETNS_COOKIE */); err == nil {
		s.NetNS = cookie
	}
	return fd, s
}

// local is the address that a socket is bound to.
func local(t *testing.T, fd int) netip.AddrPort {
	t.Helper()
	a, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return addrPort(a)
}

// number is an address as a field of 4 bytes holds it.
func number(a netip.Addr) uint64 { b := a.As4(); return uint64(binary.LittleEndian.Uint32(b[:])) }

// networkOrder is a port as a field in network byte order holds it.
func networkOrder(port uint16) uint64 { return uint64(port>>8 | port<<8) }

// currentAsks are what programs of a cgroup ask of who they run for.
var currentAsks = []ask{
	{"cookie", asm.Instructions{asm.Mov.Reg(asm.R1, asm.R6), asm.FnGetSocketCookie.Call()}},
	{"netns", asm.Instructions{asm.Mov.Reg(asm.R1, asm.R6), asm.FnGetNetnsCookie.Call()}},
	{"cgroup", asm.Instructions{asm.FnGetCurrentCgroupId.Call()}},
	{"ancestor 0", asm.Instructions{asm.Mov.Imm(asm.R1, 0), asm.FnGetCurrentAncestorCgroupId.Call()}},
	{"ancestor 1", asm.Instructions{asm.Mov.Imm(asm.R1, 1), asm.FnGetCurrentAncestorCgroupId.Call()}},
	{"ancestor 2", asm.Instructions{asm.Mov.Imm(asm.R1, 2), asm.FnGetCurrentAncestorCgroupId.Call()}},
	{"uid", asm.Instructions{asm.FnGetCurrentUidGid.Call()}},
	{"tgid", asm.Instructions{asm.FnGetCurrentPidTgid.Call(), asm.RSh.Imm(asm.R0, 32)}},
}
