package kernel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/hook"
)

// shared makes a socket that may share its address, and gives its number.
func shared(t *testing.T, address string) (c net.PacketConn, fd int) {
	t.Helper()
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		failed := raw.Control(func(n uintptr) {
			fd = int(n)
			err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		})
		if failed != nil {
			return failed
		}
		return err
	}}
	c, err := config.ListenPacket(context.Background(), "udp4", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, fd
}

// TestSockets attaches to sockets of this process, which it names as it would any other's.
func TestSockets(t *testing.T) {
	for _, tc := range []struct {
		kind   string
		result int32
	}{
		{"socket", -1},
		{"sk_reuseport", skPass},
		{"sk_reuseport/migrate", skPass},
	} {
		t.Run(tc.kind, func(t *testing.T) {
			ownNetwork(t)
			a, fd := shared(t, "127.0.0.1:0")
			shared(t, a.LocalAddr().String())
			k := hook.Find(tc.kind)
			at := fmt.Sprintf("%s/%d:%d", tc.kind, os.Getpid(), fd)
			needs(t, at)
			c, err := Load(counting(k.Name, k.Prog, k.Attach, "", tc.result), &Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			attach(t, c, at)
			hello(t, a.LocalAddr(), 32) // either may be the one that is chosen
			n := counted(t, c)
			if n == 0 {
				t.Error("the program did not run")
			}
			if err := c.Detach(); err != nil {
				t.Error(err)
			}
			hello(t, a.LocalAddr(), 32)
			if counted(t, c) != n {
				t.Error("the program runs after it was detached")
			}
		})
	}
}

// hello sends datagrams to an address, each from another socket.
func hello(t *testing.T, to net.Addr, times int) {
	t.Helper()
	for range times {
		c, err := net.Dial("udp4", to.String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Error(err)
		}
		c.Close()
	}
}

// What stays at another process's sockets can be replaced, and ends when it is stopped.
func TestPinsSocket(t *testing.T) {
	ownNetwork(t)
	p := ownPins(t)
	a, fd := shared(t, "127.0.0.1:0")
	object := counting("sk_reuseport", ebpf.SkReuseport, ebpf.AttachSkReuseportSelect, "", skPass)
	c, err := Load(object, &Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	attach(t, c, fmt.Sprintf("sk_reuseport/%d:%d", os.Getpid(), fd))
	kept, err := c.Maps["hits"].Clone() // to look at when all else is gone
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	if err := errors.Join(p.Pin("choice", c), c.Close()); err != nil {
		t.Fatal(err)
	}
	var n [3]uint64
	for i, then := range []func() error{
		func() error { _, err := p.Replace("choice", object, &Options{}); return err },
		func() error { return p.Stop("choice") },
		func() error { return nil },
	} {
		hello(t, a.LocalAddr(), 1)
		if err := errors.Join(kept.Lookup(uint32(0), &n[i]), then()); err != nil {
			t.Fatal(err)
		}
	}
	if n != [3]uint64{1, 2, 2} {
		t.Errorf("the programs had run %d times when they were pinned, replaced and stopped, want [1 2 2]", n)
	}
}

// What is no socket that can take the program is said before anything is attached.
func TestSocketRefused(t *testing.T) {
	ownNetwork(t)
	c, err := Load(counting("sk_reuseport", ebpf.SkReuseport, ebpf.AttachSkReuseportSelect, "", skPass), &Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	alone, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer alone.Close()
	raw, err := alone.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	fd := 0
	if err := raw.Control(func(n uintptr) { fd = int(n) }); err != nil {
		t.Fatal(err)
	}
	me := os.Getpid()
	for target, want := range map[string]string{
		"veth0":                      "sk_reuseport/veth0: want a process's socket, as PID:FD, such as sk_reuseport/4711:7",
		fmt.Sprintf("%d:9999", me):   fmt.Sprintf("file descriptor 9999 of process %d (ls -l /proc/%[1]d/fd shows them): bad file descriptor", me),
		fmt.Sprintf("%d:0", me):      fmt.Sprintf("file descriptor 0 of process %d is no socket", me),
		fmt.Sprintf("%d:%d", me, fd): "shares its address with no others: it lacks SO_REUSEPORT",
		fmt.Sprintf("%d:0", 1<<22+1): "process 4194305: no such process",
	} {
		_, err := c.Attach([]hook.Attachment{{Program: "count", Point: hook.Point{Kind: hook.Find("sk_reuseport"), Target: target}}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", target, err, want)
		}
	}
}
