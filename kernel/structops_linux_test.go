package kernel

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/program"
)

// congestion connects to itself under a congestion control.
func congestion(name string) error {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		failed := raw.Control(func(fd uintptr) {
			err = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, name)
		})
		return errors.Join(failed, err)
	}}
	c, err := dialer.Dial("tcp4", l.Addr().String())
	if err != nil {
		return err
	}
	return c.Close()
}

// controlled loads a congestion control under a name of the test's own, and says where its
// programs are attached.
func controlled(t *testing.T, name string) (*Collection, []hook.Attachment) {
	t.Helper()
	p, err := program.Open(filepath.Join(testenv.Root(t), "vm", "attached", "testdata", "structops.bpf.o"))
	if err != nil {
		t.Fatal(err)
	}
	content := p.Spec.Maps["control"].Contents
	content[0].Value = bytes.Replace(content[0].Value.([]byte), []byte("skep_test"), []byte(name), 1)
	var at []hook.Attachment
	for prog, spec := range p.Spec.Programs {
		point, err := hook.Of(spec)
		if err != nil {
			t.Fatal(err)
		}
		at = append(at, hook.Attachment{Program: prog, Point: point})
	}
	c, err := Load(p, &Options{At: at})
	if errors.Is(err, ebpf.ErrNotSupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, at
}

// TestStructOps has a connection of the test's own run under a congestion control.
func TestStructOps(t *testing.T) {
	t.Run("struct_ops/init", func(t *testing.T) {
		needs(t, "struct_ops")
		ownNetwork(t)
		c, at := controlled(t, "skep_here")
		if err := congestion("skep_here"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("before it is attached: %v", err)
		}
		if _, err := c.Attach(at); err != nil {
			t.Fatal(err)
		}
		if err := congestion("skep_here"); err != nil {
			t.Fatal(err)
		}
		var out [64]int64
		if err := c.Variables["out"].Get(&out); err != nil {
			t.Fatal(err)
		}
		if out[63] == 0 {
			t.Error("no program ran")
		}
		if err := c.Detach(); err != nil {
			t.Error(err)
		}
		if err := congestion("skep_here"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after it was detached: %v", err)
		}
	})
}

// One link serves all programs of a structure, and has a pin for each.
func TestPinsStructOps(t *testing.T) {
	needs(t, "struct_ops")
	ownNetwork(t)
	p := ownPins(t)
	c, at := controlled(t, "skep_pins")
	if _, err := c.Attach(at); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Pin("cc", c), c.Close()); err != nil {
		t.Fatal(err)
	}
	all, err := p.List()
	if err != nil || len(all) != 1 || len(all[0].Links) != len(at) {
		t.Errorf("pinned: %+v (%v), want links of %d programs", all, err, len(at))
	}
	if err := congestion("skep_pins"); err != nil {
		t.Error(err)
	}
	if err := p.Stop("cc"); err != nil {
		t.Fatal(err)
	}
	if err := congestion("skep_pins"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after it was stopped: %v", err)
	}
}
