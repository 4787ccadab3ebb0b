package attached

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/memory"
	"github.com/skep-ebpf/skep/vm/world"
)

// owners are two inodes and two sockets of the test's, which also belong to its
// task and that one's cgroup.
const owners = 2

// TestStorage does random steps with the storage of inodes, tasks, cgroups and
// sockets, in programs attached to what this process does with its own.
func TestStorage(t *testing.T) {
	var files [owners]string
	var sockets [owners]int
	for i := range owners {
		files[i] = filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(files[i], nil, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer syscall.Close(s)
		sockets[i] = s
	}
	openFile := func(i int) error {
		f, err := os.Open(files[i])
		if err != nil {
			return err
		}
		return f.Close()
	}
	bind := func(i int) error {
		// Only the first one succeeds, but the program sees each.
		_ = syscall.Bind(sockets[i], &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
		return nil
	}
	for _, c := range []struct {
		prog  string
		event func(i int) error
	}{{"inodes", openFile}, {"tasks", openFile}, {"cgroups", openFile}, {"sockets", bind}} {
		t.Run(c.prog, func(t *testing.T) {
			runtime.LockOSThread() // a task is a thread
			defer runtime.UnlockOSThread()
			spec := open(t, "storage", c.prog, "")
			linux := inKernel(t, spec.Copy())
			env, contexts := ownersInMachine(t)
			machine := inMachine(t, spec, env)
			l, err := link.AttachLSM(link.LSMOptions{Program: linux.Programs[c.prog]})
			attach(t, l, err)
			rnd := rand.New(rand.NewPCG(testenv.Seed(t), 0))
			steps := 300
			if testing.Short() {
				steps = 60
			}
			for range steps {
				i := rnd.IntN(owners)
				in := []uint64{rnd.Uint64N(3), []uint64{0, 0, 1, 1, 1, 2, 3, 1 << 32}[rnd.IntN(8)], rnd.Uint64N(1000)}
				give(t, linux.Variables, in...)
				if err := c.event(i); err != nil {
					t.Fatal(err)
				}
				want := find(t, linux.Variables)
				give(t, machine.Variables, in...)
				ctx := contexts[i].file
				if c.prog == "sockets" {
					ctx = contexts[i].socket
				}
				if err := machine.Programs[c.prog].Exec(t.Context(), &vm.Input{Ctx: words(ctx)}, new(vm.Output)); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, find(t, machine.Variables)); diff != "" {
					t.Fatalf("step %d of owner %d: kernel - / machine +\n%s", in, i, diff)
				}
			}
		})
	}
}

// ownersInMachine describes the owners: contexts that lead to each inode and each
// socket, in this process.
func ownersInMachine(t *testing.T) (*exec.Env, [owners]struct{ file, socket uint64 }) {
	t.Helper()
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		t.Fatal(err)
	}
	m := memory.New(kernel)
	t.Cleanup(func() { m.Close() })
	build := func(name string, fields map[string]any) uint64 {
		addr, err := m.Struct(name, fields)
		if err != nil {
			t.Fatal(err)
		}
		return addr
	}
	pid := uint32(os.Getpid())
	d := &world.Description{Current: world.Current{PID: pid}, Processes: []world.Process{{
		PID: pid, Task: build("task_struct", map[string]any{"cgroups": map[string]any{"dfl_cgrp": map[string]any{"level": 1}}}),
	}}}
	var contexts [owners]struct{ file, socket uint64 }
	for i := range contexts {
		sock := build("sock", nil)
		d.Sockets = append(d.Sockets, world.Socket{
			Name: fmt.Sprint(i), Proto: "udp", Sock: sock, Local: netip.MustParseAddrPort("127.0.0.1:0"),
		})
		contexts[i].file = build("file", map[string]any{"f_inode": build("inode", nil)})
		contexts[i].socket = build("socket", map[string]any{"sk": sock})
	}
	w, err := world.New(d)
	if err != nil {
		t.Fatal(err)
	}
	env := new(exec.Env)
	w.Into(env)
	if env.Objects, err = m.Objects(); err != nil {
		t.Fatal(err)
	}
	return env, contexts
}
