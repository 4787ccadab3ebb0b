package machine_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/hook/netdev"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/machine"
	"github.com/skep-ebpf/skep/program"
)

// machines are both machines; the kernel only where bpf() is allowed.
func machines(t *testing.T, test func(t *testing.T, m machine.Machine)) {
	t.Run("user", func(t *testing.T) { test(t, machine.User(&machine.UserOptions{})) })
	t.Run("kernel", func(t *testing.T) {
		testenv.Kernel(t)
		test(t, machine.Kernel(&machine.KernelOptions{}))
	})
}

// sender is an object whose program sends its packet's length, 8 bytes, through a map
// "events" of a type, and counts its runs in the first value of the array "runs".
func sender(typ ebpf.MapType) *program.Program {
	events := &ebpf.MapSpec{Name: "events", Type: typ}
	send := asm.Instructions{
		asm.Mov.Reg(asm.R1, asm.R6), asm.LoadMapPtr(asm.R2, 0).WithReference("events"),
		asm.LoadImm(asm.R3, 0xffffffff, asm.DWord), // BPF_F_CURRENT_CPU
		asm.Mov.Reg(asm.R4, asm.RFP), asm.Add.Imm(asm.R4, -8), asm.Mov.Imm(asm.R5, 8),
		asm.FnPerfEventOutput.Call(),
	}
	if typ == ebpf.RingBuf {
		events.MaxEntries = 4096
		send = asm.Instructions{
			asm.LoadMapPtr(asm.R1, 0).WithReference("events"),
			asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, -8),
			asm.Mov.Imm(asm.R3, 8), asm.Mov.Imm(asm.R4, 0),
			asm.FnRingbufOutput.Call(),
		}
	}
	insns := append(asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R1, asm.R1, 0, asm.Word), // skb->len
		asm.StoreMem(asm.RFP, -8, asm.R1, asm.DWord),
	}, send...)
	insns = append(insns,
		asm.LoadMapValue(asm.R1, 0, 0).WithReference("runs"),
		asm.Mov.Imm(asm.R2, 1),
		asm.AddAtomic.Mem(asm.R1, asm.R2, asm.DWord, 0),
		asm.Mov.Imm(asm.R0, 0),
		asm.Return(),
	)
	return &program.Program{Name: "sender.o", Spec: &ebpf.CollectionSpec{
		Maps: map[string]*ebpf.MapSpec{
			"events": events,
			"runs":   {Name: "runs", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1},
		},
		Programs: map[string]*ebpf.ProgramSpec{"send": {Name: "send", Type: ebpf.SchedCLS, License: "GPL", Instructions: insns}},
	}}
}

// records gives the records that wait.
func records(t *testing.T, e machine.Events) (all [][]byte) {
	t.Helper()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	var r machine.Record
	for {
		err := e.Read(ended, &r)
		if errors.Is(err, context.Canceled) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, bytes.Clone(r.Data))
	}
}

// received gives the records that wait, as numbers.
func received(t *testing.T, e machine.Events) (all []uint64) {
	t.Helper()
	for _, r := range records(t, e) {
		all = append(all, binary.NativeEndian.Uint64(r))
	}
	return all
}

// TestSame runs one object on both machines: it sends the same events, and leaves the
// same in its map.
func TestSame(t *testing.T) {
	for _, typ := range []ebpf.MapType{ebpf.RingBuf, ebpf.PerfEventArray} {
		t.Run(typ.String(), func(t *testing.T) {
			machines(t, func(t *testing.T, m machine.Machine) {
				c, err := m.Load(sender(typ), &machine.Options{})
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				e, err := c.Events("events")
				if err != nil {
					t.Fatal(err)
				}
				defer e.Close()
				if _, err := c.Events("runs"); !errors.Is(err, machine.ErrNoEvents) {
					t.Errorf("events of an array: %v", err)
				}
				for _, length := range []int{60, 61, 62} {
					if _, err := c.Run("send", &ebpf.RunOptions{Data: make([]byte, length)}); err != nil {
						t.Fatal(err)
					}
				}
				got := received(t, e)
				if len(got) != 3 || got[0] != 60 || got[1] != 61 || got[2] != 62 {
					t.Errorf("received %d, want 60, 61 and 62", got)
				}
				var runs uint64
				if err := c.Map("runs").Lookup(uint32(0), &runs); err != nil || runs != 3 {
					t.Errorf("counted %d runs, %v", runs, err)
				}
				if n, err := e.Lost(); n != 0 || err != nil {
					t.Errorf("lost %d records, %v", n, err)
				}
			})
		})
	}
}

// lister is an object whose iterator over tasks writes a line behind the last one.
func lister() *program.Program {
	line := "that is all\n"
	return &program.Program{Name: "lister.o", Spec: &ebpf.CollectionSpec{
		Maps: map[string]*ebpf.MapSpec{
			".rodata": {Name: ".rodata", Type: ebpf.Array, KeySize: 4, ValueSize: uint32(len(line)), MaxEntries: 1,
				Flags: unix.BPF_F_RDONLY_PROG, Contents: []ebpf.MapKV{{Key: uint32(0), Value: []byte(line)}}},
		},
		Programs: map[string]*ebpf.ProgramSpec{"list": {
			Name: "list", Type: ebpf.Tracing, AttachType: ebpf.AttachTraceIter, AttachTo: "task", SectionName: "iter/task", License: "GPL",
			Instructions: asm.Instructions{
				asm.LoadMem(asm.R6, asm.R1, 0, asm.DWord), // meta
				asm.LoadMem(asm.R7, asm.R1, 8, asm.DWord), // task
				asm.JNE.Imm(asm.R7, 0, "out"),
				asm.LoadMem(asm.R1, asm.R6, 0, asm.DWord), // meta->seq
				asm.LoadMapValue(asm.R2, 0, 0).WithReference(".rodata"),
				asm.Mov.Imm(asm.R3, int32(len(line))),
				asm.FnSeqWrite.Call(),
				asm.Mov.Imm(asm.R0, 0).WithSymbol("out"),
				asm.Return(),
			},
		}},
	}}
}

// TestIterator reads what an iterator writes on both machines.
func TestIterator(t *testing.T) {
	testenv.Kernel(t) // for its types
	machines(t, func(t *testing.T, m machine.Machine) {
		at := attachment(t, "list", "iter/task")
		c, err := m.Load(lister(), &machine.Options{At: at})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		links, err := c.Attach(at)
		if err != nil {
			t.Fatal(err)
		}
		list, err := links[0].Output()
		if err != nil {
			t.Fatal(err)
		}
		defer list.Close()
		if text, err := io.ReadAll(list); err != nil || string(text) != "that is all\n" {
			t.Errorf("it wrote %q, %v", text, err)
		}
	})
}

func attachment(t *testing.T, program, point string) []hook.Attachment {
	t.Helper()
	p, err := hook.Parse(point)
	if err != nil {
		t.Fatal(err)
	}
	return []hook.Attachment{{Program: program, Point: p}}
}

// TestSyscall runs a program of type syscall once, and every so often, on both machines.
func TestSyscall(t *testing.T) {
	p := sender(ebpf.RingBuf)
	send := p.Spec.Programs["send"]
	send.SectionName = "syscall"
	machines(t, func(t *testing.T, m machine.Machine) {
		for point, want := range map[string]int{"syscall": 1, "timer/1ms": 3} {
			c, err := m.Load(p, &machine.Options{At: attachment(t, "send", point)})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			e, err := c.Events("events")
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			if _, err := c.Attach(attachment(t, "send", point)); err != nil {
				t.Fatal(err)
			}
			var r machine.Record
			for range want {
				if err := e.Read(t.Context(), &r); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.Detach(); err != nil {
				t.Error(err)
			}
			if more := records(t, e); point == "syscall" && len(more) > 0 {
				t.Errorf("%s: it ran again", point)
			}
		}
	})
}

// TestUserAttach attaches programs in skep's own machine: to an interface, and where
// nothing would come by.
func TestUserAttach(t *testing.T) {
	cfg, err := netdev.ParseConfig("net.yaml", []byte("interfaces: [{name: eth0}]"))
	if err != nil {
		t.Fatal(err)
	}
	network, err := cfg.Build(netdev.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := machine.User(&machine.UserOptions{Network: network})
	c, err := m.Load(sender(ebpf.RingBuf), &machine.Options{At: attachment(t, "send", "tcx/ingress/eth0")})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	e, err := c.Events("events")
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	links, err := c.Attach(attachment(t, "send", "tcx/ingress/eth0"))
	if err != nil {
		t.Fatal(err)
	}
	arrive := func() {
		t.Helper()
		if err := network.Receive(t.Context(), network.ByName("eth0"), make([]byte, 60)); err != nil {
			t.Fatal(err)
		}
	}
	arrive()
	if err := links[0].Close(); err != nil {
		t.Fatal(err)
	}
	arrive()
	if got := received(t, e); len(got) != 1 {
		t.Errorf("it ran %d times, want once while it was attached", len(got))
	}
	for point, want := range map[string]string{
		"tcx/ingress/eth1":   `no interface "eth1"; it has eth0`,
		"kprobe/do_unlinkat": "run it in the kernel, or give the program one context with --ctx",
		"iter/bpf_map":       "lists the tasks of a world",
	} {
		if _, err := c.Attach(attachment(t, "send", point)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", point, err, want)
		}
	}
}

// TestPoints loads a program for several points, which both machines take where Linux
// loads it for all of them.
func TestPoints(t *testing.T) {
	machines(t, func(t *testing.T, m machine.Machine) {
		for _, tc := range []struct {
			points []string
			want   string
		}{
			{points: []string{"tcx/ingress/left", "tcx/ingress/right"}},
			{[]string{"tcx/ingress/left", "tcx/egress/left"}, "sender.o: program send is loaded for tcx/ingress/left: what is attached to both are two programs"},
			{[]string{"lsm/file_open", "lsm/task_kill"}, "sender.o: program send is loaded for lsm/file_open: what is attached to both are two programs"},
		} {
			var at []hook.Attachment
			for _, p := range tc.points {
				at = append(at, attachment(t, "send", p)...)
			}
			c, err := m.Load(sender(ebpf.RingBuf), &machine.Options{At: at})
			switch {
			case err == nil && tc.want == "":
				c.Close()
			case err == nil || err.Error() != tc.want:
				t.Errorf("%s: error %v, want %q", tc.points, err, tc.want)
			}
		}
	})
}

// TestPrints runs programs of one object on both machines: they print the same, and
// records come or are lost, none in silence.
func TestPrints(t *testing.T) {
	p, err := program.Open("../kernel/testdata/events.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	machines(t, func(t *testing.T, m machine.Machine) {
		c, err := m.Load(p, &machine.Options{Programs: []string{"prints", "through_ring"}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if unseen := c.Unseen(); len(unseen) > 0 {
			t.Skipf("needs Linux 5.16: bpf_snprintf and bpf_trace_vprintk (%s)", unseen)
		}
		printed, err := c.Printed()
		if err != nil {
			t.Fatal(err)
		}
		defer printed.Close()
		if _, err := c.Run("prints", &ebpf.RunOptions{Data: make([]byte, 77)}); err != nil {
			t.Fatal(err)
		}
		var texts []string
		for _, r := range records(t, printed) {
			texts = append(texts, string(r))
		}
		want := []string{"nothing to say", "77 is 100%", "skep: ff and 1099511627776", "many: 1 2 3 4"}
		if diff := cmp.Diff(want, texts); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}

		e, err := c.Events("ring")
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		if _, err := c.Run("through_ring", &ebpf.RunOptions{Data: make([]byte, 1000), Repeat: 10}); err != nil {
			t.Fatal(err)
		}
		came := uint64(len(records(t, e)))
		lost, err := e.Lost()
		if err != nil || came == 0 || lost == 0 || came+lost != 10000 {
			t.Errorf("of 10000 records %d came and %d were lost, %v", came, lost, err)
		}
	})
}

// TestStreams runs a program that writes to its streams on both machines: they give the
// same lines.
func TestStreams(t *testing.T) {
	p, err := program.Open("../vm/testdata/kfunc/stream.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	machines(t, func(t *testing.T, m machine.Machine) {
		c, err := m.Load(p, &machine.Options{Programs: []string{"writes"}})
		if err != nil {
			t.Skipf("needs Linux 7.0: before, the function that prints there was called otherwise (%v)", err)
		}
		defer c.Close()
		streams, err := c.Streams()
		if err != nil {
			t.Fatal(err)
		}
		defer streams.Close()
		if _, err := c.Run("writes", &ebpf.RunOptions{}); err != nil {
			t.Fatal(err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		got := map[string][]string{}
		for {
			var r machine.Record
			if err := streams.Read(ended, &r); errors.Is(err, context.Canceled) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			got[r.Stream] = append(got[r.Stream], string(r.Data))
		}
		want := map[string][]string{"stdout": {"one 1", "two and 3", "no end"}, "stderr": {"wrong: ff"}}
		if stack := got["stderr"][min(len(got["stderr"]), 1):]; len(stack) < 3 || !strings.HasPrefix(stack[0], "CPU: ") || stack[1] != "Call trace:" {
			t.Errorf("the stack is %q", stack)
		}
		got["stderr"] = got["stderr"][:min(len(got["stderr"]), 1)]
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}
