package attached

import (
	"io"
	"net"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/memory"
)

// What a note of structops.bpf.c is: which function it is of, what it found in
// the socket, and for cong_avoid how many packets were acknowledged.
const (
	noteWhich = iota
	noteCwnd
	noteCwndCount
	noteSsthresh
	noteAcked
	noteSize = 8
)

// TestCongestionControl has a connection of the test's run under programs, and
// each call that Linux made of them made again here, on a socket like the one
// that it was for.
func TestCongestionControl(t *testing.T) {
	p, err := program.Open(filepath.Join("testdata", "structops.bpf.o"))
	if err != nil {
		t.Fatal(err)
	}
	linux := inKernel(t, p.Spec.Copy())
	l, err := link.AttachStructOps(link.StructOpsOptions{Map: linux.Maps["control"]})
	attach(t, l, err)
	give(t, linux.Variables)
	send(t, "skep_test")
	noted := find(t, linux.Variables)
	calls := noted.Out[:7*noteSize]
	if calls[noteWhich] != 1 || calls[noteSize+noteWhich] != 2 {
		t.Fatalf("Linux did not begin and then avoid congestion: %d", calls)
	}
	for call := range slices.Chunk(calls, noteSize) {
		if call[noteWhich] == 0 {
			break
		}
		if diff := cmp.Diff(call, again(t, call)); diff != "" {
			t.Errorf("kernel - / machine +\n%s", diff)
		}
	}
}

// again makes one call in the machine, and gives its note.
func again(t *testing.T, call []int64) []int64 {
	t.Helper()
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		t.Fatal(err)
	}
	m := memory.New(kernel)
	t.Cleanup(func() { m.Close() })
	socket, err := m.Struct("tcp_sock", map[string]any{
		"snd_cwnd": call[noteCwnd], "snd_cwnd_cnt": call[noteCwndCount], "snd_ssthresh": call[noteSsthresh],
	})
	if err != nil {
		t.Fatal(err)
	}
	env := new(exec.Env)
	if env.Objects, err = m.Objects(); err != nil {
		t.Fatal(err)
	}
	prog, ctx := "begin", words(socket)
	if call[noteWhich] == 2 {
		prog, ctx = "avoid", words(socket, 0, uint64(call[noteAcked]))
	}
	coll := inMachine(t, open(t, "structops", prog, ""), env)
	if err := coll.Programs[prog].Exec(t.Context(), &vm.Input{Ctx: ctx}, new(vm.Output)); err != nil {
		t.Fatal(err)
	}
	note := find(t, coll.Variables)
	return note.Out[:noteSize]
}

// send sends some data over a connection to itself under a congestion control.
func send(t *testing.T, control string) {
	t.Helper()
	server, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	dialer := net.Dialer{Timeout: 10 * time.Second, Control: func(_, _ string, c syscall.RawConn) (err error) {
		failed := c.Control(func(fd uintptr) {
			err = syscall.SetsockoptString(int(fd), syscall.IPPROTO_TCP, syscall.TCP_CONGESTION, control)
		})
		if failed != nil {
			return failed
		}
		return err
	}}
	client, err := dialer.Dial("tcp4", server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const size = 1 << 18
	sent := make(chan error, 1)
	go func() {
		_, err := client.Write(make([]byte, size))
		sent <- err
	}()
	if _, err := io.CopyN(io.Discard, conn, size); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
}
