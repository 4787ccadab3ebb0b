package attached

import (
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/internal/testenv"
)

// TestUnixAddresses holds what programs see of system calls with addresses of Unix
// sockets, of which the context says no more than the family.
func TestUnixAddresses(t *testing.T) {
	testenv.KernelFrom(t, 6, 7, "programs of cgroups do not see sockets of Unix")
	g := ownGroup(t)
	pair := func(t *testing.T) (a, b int, address unix.Sockaddr) {
		t.Helper()
		for _, fd := range []*int{&a, &b} {
			var err error
			if *fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { unix.Close(*fd) })
		}
		address = &unix.SockaddrUnix{Name: "@skep-" + t.Name()}
		if err := unix.Bind(b, address); err != nil {
			t.Fatal(err)
		}
		return a, b, address
	}
	for _, c := range []struct {
		name   string
		attach ebpf.AttachType
		state  uint64 // of the socket
		does   func(t *testing.T, a, b int, address unix.Sockaddr, seen func(func() error))
	}{
		{"connect_unix", ebpf.AttachCgroupUnixConnect, 7, func(_ *testing.T, a, _ int, address unix.Sockaddr, seen func(func() error)) {
			seen(func() error { return unix.Connect(a, address) })
		}},
		{"sendmsg_unix", ebpf.AttachCgroupUnixSendmsg, 7, func(_ *testing.T, a, _ int, address unix.Sockaddr, seen func(func() error)) {
			seen(func() error { return unix.Sendto(a, []byte("hello"), 0, address) })
		}},
		{"recvmsg_unix", ebpf.AttachCgroupUnixRecvmsg, 7, func(t *testing.T, a, b int, address unix.Sockaddr, seen func(func() error)) {
			if err := unix.Bind(a, &unix.SockaddrUnix{Name: "@skep-from-" + t.Name()}); err != nil {
				t.Fatal(err)
			}
			if err := unix.Sendto(a, []byte("hello"), 0, address); err != nil {
				t.Fatal(err)
			}
			seen(func() error { _, _, err := unix.Recvfrom(b, make([]byte, 16), unix.MSG_DONTWAIT); return err })
		}},
		{"getpeername_unix", ebpf.AttachCgroupUnixGetpeername, 1, func(t *testing.T, a, _ int, address unix.Sockaddr, seen func(func() error)) {
			if err := unix.Connect(a, address); err != nil {
				t.Fatal(err)
			}
			seen(func() error { _, err := unix.Getpeername(a); return err })
		}},
		{"getsockname_unix", ebpf.AttachCgroupUnixGetsockname, 7, func(_ *testing.T, _, b int, _ unix.Sockaddr, seen func(func() error)) {
			seen(func() error { _, err := unix.Getsockname(b); return err })
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := watcher{prog: ebpf.CGroupSockAddr, attach: c.attach, returns: 1, asks: currentAsks[2:]}
			a, b, address := pair(t)
			var linux []note
			c.does(t, a, b, address, func(do func() error) {
				linux = w.inLinux(t, g.attach(c.attach), func() {
					if err := do(); err != nil {
						t.Error(err)
					}
				})
			})
			if len(linux) != 1 {
				t.Fatalf("the program ran %d times", len(linux))
			}
			linux[0].holds(t, map[string]uint64{
				"user_family": unix.AF_UNIX, "sk.family": unix.AF_UNIX, "sk.type": unix.SOCK_DGRAM, "sk.state": c.state, "cgroup": g.id,
			})
			machine, _ := w.inMachine(t, &event{world: g.world(nil), fields: map[string]any{
				"user_family": unix.AF_UNIX, "user_port": 's', "family": unix.AF_UNIX, "type": unix.SOCK_DGRAM,
			}})
			same(t, linux[0], machine)
		})
	}
}
