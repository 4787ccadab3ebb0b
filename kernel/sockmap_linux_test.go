package kernel

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/program"
)

// onSockets is the counting program for a map "sockets", beside a program "verdict" that
// lets everything pass. A parser's result is the length of what it sees.
func onSockets(k *hook.Kind) *program.Program {
	p := counting(k.Name, k.Prog, k.Attach, "", 1)
	p.Spec.Maps["sockets"] = &ebpf.MapSpec{Name: "sockets", Type: ebpf.SockMap, KeySize: 4, ValueSize: 4, MaxEntries: 1}
	count := p.Spec.Programs["count"]
	uses := asm.LoadMapPtr(asm.R1, 0).WithReference("sockets")
	insns := asm.Instructions{asm.Mov.Reg(asm.R6, asm.R1), uses}
	insns = append(insns, count.Instructions[:3]...)
	if k.Attach == ebpf.AttachSkSKBStreamParser {
		insns = append(insns, asm.LoadMem(asm.R0, asm.R6, 0, asm.Word), asm.Return())
	} else {
		insns = append(insns, count.Instructions[3:]...)
	}
	count.Instructions = insns
	p.Spec.Programs["verdict"] = &ebpf.ProgramSpec{
		Name: "verdict", Type: ebpf.SkSKB, AttachType: ebpf.AttachSkSKBStreamVerdict, SectionName: "sk_skb/stream_verdict", License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Return()},
	}
	return p
}

// pair gives two ends of a connection of the test's own.
func pair(t *testing.T) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial("tcp4", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return a, b
}

// put puts a connection's socket into a map.
func put(t *testing.T, m *ebpf.Map, c net.Conn) {
	t.Helper()
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	failed := raw.Control(func(fd uintptr) { err = m.Put(uint32(0), uint32(fd)) })
	if failed != nil || err != nil {
		t.Fatal(failed, err)
	}
}

// TestSockmaps attaches to a map of sockets that the test connects.
func TestSockmaps(t *testing.T) {
	for _, at := range []string{"sk_msg/sockets", "sk_skb/verdict/sockets", "sk_skb/stream_verdict/sockets", "sk_skb/stream_parser/sockets"} {
		t.Run(at, func(t *testing.T) {
			needs(t, at)
			ownNetwork(t)
			point, err := hook.Parse(at)
			if err != nil {
				t.Fatal(err)
			}
			c, err := Load(onSockets(point.Kind), &Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			all := []hook.Attachment{{Program: "count", Point: point}}
			if point.Kind.Attach == ebpf.AttachSkSKBStreamParser { // which is nothing alone
				all = append(all, hook.Attachment{Program: "verdict", Point: hook.Point{Kind: hook.Find("sk_skb/stream_verdict"), Target: "sockets"}})
			}
			if _, err := c.Attach(all); err != nil {
				t.Fatal(err)
			}
			a, b := pair(t)
			in := b // where data comes in
			if point.Kind.Prog == ebpf.SkMsg {
				in = a // where it goes out
			}
			put(t, c.Maps["sockets"], in)
			if _, err := a.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			if err := b.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(b, make([]byte, 5)); err != nil {
				t.Errorf("what was sent does not arrive: %v", err)
			}
			if counted(t, c) == 0 {
				t.Error("the program did not run")
			}
		})
	}
}

// Where Linux has links for sockmaps their programs can stay, and be replaced.
func TestPinsSockmap(t *testing.T) {
	testenv.KernelFrom(t, 6, 10, "sockmaps have no links")
	ownNetwork(t)
	p := ownPins(t)
	point, err := hook.Parse("sk_msg/sockets")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Load(onSockets(point.Kind), &Options{Programs: []string{"count"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Attach([]hook.Attachment{{Program: "count", Point: point}}); err != nil {
		t.Fatal(err)
	}
	a, _ := pair(t)
	put(t, c.Maps["sockets"], a)
	if err := errors.Join(p.Pin("msg", c), c.Close()); err != nil {
		t.Fatal(err)
	}
	object := onSockets(point.Kind)
	if _, err := p.Replace("msg", object, &Options{}); err != nil {
		t.Fatal(err)
	}
	before := hitsOf(t, p, "msg")
	if _, err := a.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if hitsOf(t, p, "msg") == before {
		t.Error("the new program did not run")
	}
	if err := p.Stop("msg"); err != nil {
		t.Error(err)
	}
}
