package kernel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/program"
)

// loadEvents loads programs of testdata/events.bpf.c, which say what they print and lose.
func loadEvents(t *testing.T, programs ...string) *Collection {
	t.Helper()
	testenv.Kernel(t)
	p, err := program.Open("testdata/events.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Load(p, &Options{Programs: programs, Watch: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// run runs a program on a packet of n bytes.
func run(t *testing.T, c *Collection, program string, n int, times uint32) {
	t.Helper()
	_, err := c.Programs[program].Run(&ebpf.RunOptions{Data: make([]byte, n), Repeat: times})
	if err != nil {
		t.Fatal(err)
	}
}

// rest gives the records that wait.
func rest(t *testing.T, e *Events) (all []string) {
	t.Helper()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for {
		var r Record
		err := e.Read(ended, &r)
		if errors.Is(err, context.Canceled) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if r.Program == "" {
			all = append(all, fmt.Sprintf("%d bytes", len(r.Data)))
		} else {
			all = append(all, r.Program+": "+string(r.Data))
		}
	}
}

// TestPrinted wants what bpf_printk prints, and its results, to be as without skep.
func TestPrinted(t *testing.T) {
	testenv.KernelFrom(t, 5, 16, "there was no bpf_trace_vprintk")
	c := loadEvents(t, "prints")
	if unseen := c.Unseen(); len(unseen) > 0 {
		t.Fatal(unseen)
	}
	e, err := c.Printed()
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	run(t, c, "prints", 77, 1)
	if diff := cmp.Diff([]string{
		"prints: nothing to say",
		"prints: 77 is 100%",
		"prints: skep: ff and 1099511627776",
		"prints: many: 1 2 3 4",
	}, rest(t, e)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	var returned [3]int64
	if err := c.Variables["returned"].Get(&returned); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([3]int64{15, 26, 13}, returned); diff != "" {
		t.Errorf("what bpf_printk returned: (-want +got)\n%s", diff)
	}

	// More than there is room for.
	const runs = 300
	run(t, c, "prints", 77, runs)
	got := uint64(len(rest(t, e)))
	lost, err := e.Lost()
	if err != nil || lost == 0 || got+lost != 4*runs {
		t.Errorf("of %d texts %d came and %d were lost, %v", 4*runs, got, lost, err)
	}
}

// TestOverheard wants what is printed with a format that no look at the object finds to be
// shown, with its own result, and what others print not to be.
func TestOverheard(t *testing.T) {
	testenv.Kernel(t)
	c := loadEvents(t, "hides", "says")
	if unseen := c.Unseen(); len(unseen) > 0 {
		t.Fatal(unseen)
	}
	e, err := c.Printed()
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	others, err := program.Open("testdata/events.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	other, err := Load(others, &Options{Programs: []string{"hides"}}) // not watched
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	run(t, other, "hides", 77, 3)
	run(t, c, "hides", 77, 2)
	run(t, c, "says", 77, 1)
	if diff := cmp.Diff([]string{"hides: len 77 of skep", "hides: len 77 of skep", "says: 77 bytes"}, rest(t, e)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	var hidden int64
	if err := c.Variables["hidden"].Get(&hidden); err != nil || hidden != int64(len("len 77 of skep")) {
		t.Errorf("bpf_trace_printk returned %d, %v", hidden, err)
	}

	const runs = 1000
	run(t, c, "hides", 77, runs)
	got := uint64(len(rest(t, e)))
	lost, err := e.Lost()
	if err != nil || lost == 0 || got+lost != runs {
		t.Errorf("of %d texts %d came and %d were lost, %v", runs, got, lost, err)
	}
}

// TestLost counts what finds no room in ring buffers that nobody reads, each for itself.
func TestLost(t *testing.T) {
	c := loadEvents(t, "through_ring", "through_reserved")
	if unseen := c.Unseen(); len(unseen) > 0 {
		t.Fatal(unseen)
	}
	for _, tc := range []struct {
		program, ring string
		room          int // records of 16 bytes, each with 8 bytes before it
	}{
		{"through_ring", "ring", 65536/24 + 1},
		{"through_reserved", "reserved", 4096/24 + 1},
	} {
		e, err := c.Events(tc.ring)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		if lost, err := e.Lost(); lost != 0 || err != nil {
			t.Errorf("%s lost %d before anything was sent, %v", tc.ring, lost, err)
		}
		run(t, c, tc.program, 1000, 5)
		got := len(rest(t, e))
		lost, err := e.Lost()
		if err != nil || got+int(lost) != 5000 || got > tc.room {
			t.Errorf("%s: of 5000 records %d came and %d were lost, with room for %d, %v", tc.ring, got, lost, tc.room, err)
		}
	}
}

// TestWatchKeepsPrograms wants programs to be as they are without Watch.
func TestWatchKeepsPrograms(t *testing.T) {
	p, err := program.Open("testdata/events.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	before := fmt.Sprint(p.Spec.Programs["prints"].Instructions)
	changed, err := new(watch).change(p.Spec)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(p.Spec.Programs["prints"].Instructions) != before || p.Spec.Maps[lostMap] != nil {
		t.Error("the object itself was changed")
	}
	if after := fmt.Sprint(changed.Programs["prints"].Instructions); after == before || strings.Contains(after, "FnTracePrintk") {
		t.Errorf("it prints as before:\n%s", after)
	}
}

// TestLostReserved counts what is lost wherever programs look whether they got a record.
func TestLostReserved(t *testing.T) {
	testenv.Kernel(t)
	reserve := asm.Instructions{
		asm.LoadMapPtr(asm.R1, 0).WithReference("ring"), asm.Mov.Imm(asm.R2, 8), asm.Mov.Imm(asm.R3, 0),
		asm.FnRingbufReserve.Call(),
	}
	submit := func(record asm.Register) asm.Instructions {
		return asm.Instructions{
			asm.StoreImm(record, 0, 1, asm.Word),
			asm.Mov.Reg(asm.R1, record), asm.Mov.Imm(asm.R2, 0), asm.FnRingbufSubmit.Call(),
		}
	}
	out := asm.Instructions{asm.Mov.Imm(asm.R0, 0).WithSymbol("out"), asm.Return()}
	got := submit(asm.R0)
	got[0] = got[0].WithSymbol("got")
	seven := asm.Mov.Imm(asm.R1, 7)
	for name, tc := range map[string]struct {
		check  []asm.Instructions // what follows the call
		unseen bool
	}{
		"away if NULL":       {check: []asm.Instructions{{asm.JEq.Imm(asm.R0, 0, "out")}, submit(asm.R0), out}},
		"away if it is not":  {check: []asm.Instructions{{asm.JNE.Imm(asm.R0, 0, "got"), asm.Ja.Label("out")}, got, out}},
		"moved":              {check: []asm.Instructions{{asm.Mov.Reg(asm.R6, asm.R0), asm.JEq.Imm(asm.R6, 0, "out")}, submit(asm.R6), out}},
		"with R1 in use":     {check: []asm.Instructions{{seven, asm.JEq.Imm(asm.R0, 0, "out"), asm.Mov.Reg(asm.R7, asm.R1)}, submit(asm.R0), out}},
		"behind a jump":      {check: []asm.Instructions{{asm.Ja.Label("check"), asm.JEq.Imm(asm.R0, 0, "out").WithSymbol("check")}, submit(asm.R0), out}, unseen: true},
		"all registers used": {check: []asm.Instructions{{seven, asm.Mov.Imm(asm.R2, 7), asm.Mov.Imm(asm.R3, 7), asm.Mov.Imm(asm.R4, 7), asm.JEq.Imm(asm.R0, 0, "out")}, submit(asm.R0), out}, unseen: true},
	} {
		t.Run(name, func(t *testing.T) {
			p := &program.Program{Name: "reserve.o", Spec: &ebpf.CollectionSpec{
				Maps: map[string]*ebpf.MapSpec{"ring": {Name: "ring", Type: ebpf.RingBuf, MaxEntries: 4096}},
				Programs: map[string]*ebpf.ProgramSpec{"send": {
					Name: "send", Type: ebpf.SchedCLS, License: "GPL",
					Instructions: slices.Concat(append([]asm.Instructions{reserve}, tc.check...)...),
				}},
			}}
			c, err := Load(p, &Options{Watch: true})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if unseen := c.Unseen(); (len(unseen) > 0) != tc.unseen {
				t.Fatalf("unseen: %q", unseen)
			}
			e, err := c.Events("ring")
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			run(t, c, "send", 60, 1000)
			came := len(rest(t, e))
			lost, err := e.Lost()
			if err != nil || came == 0 || !tc.unseen && came+int(lost) != 1000 {
				t.Errorf("of 1000 records %d came and %d were lost, %v", came, lost, err)
			}
		})
	}
}
