package attached

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/memory"
)

// maxCalls is how many notes congestion.bpf.c has room for.
const maxCalls = 96

// callNote is what a program of congestion.bpf.c notes of a call.
type callNote struct {
	Which     uint64
	Args      [2]uint64
	Jiffies   uint64
	Before    [12]uint64
	OwnBefore [13]uint64
	After     [12]uint64
	OwnAfter  [13]uint64
	Result    uint64
}

// givenState is a state that TCP's functions are called on.
type givenState struct{ Which, Cwnd, Count, Ssthresh, A, B uint32 }

// noted are the fields of struct tcp_sock in a note.
var noted = [12]string{
	"snd_cwnd", "snd_cwnd_cnt", "snd_ssthresh", "snd_cwnd_clamp", "max_packets_out", "prior_cwnd",
	"is_cwnd_limited", "snd_una", "snd_nxt", "delivered", "delivered_ce", "tcp_mstamp",
}

// TestCongestionFunctions has connections of the test's run under programs that call
// TCP's functions: one on many states, one like CUBIC, one like DCTCP. Each call that
// Linux made is made again in the machine, on a socket in the same state.
func TestCongestionFunctions(t *testing.T) {
	testenv.KernelFrom(t, 6, 4, "structures of operations had no links")
	for name, c := range map[string]struct {
		programs []string // which the notes are of; nil: TCP's functions, one after another
		least    int      // notes
	}{
		"reno":  {nil, maxCalls},
		"cubic": {[]string{"cubic_init", "cubic_avoid", "cubic_acked", "cubic_ssthresh"}, 10},
		"dctcp": {[]string{"dctcp_begin", "dctcp_ack", "dctcp_avoid", "dctcp_reduce"}, 10},
	} {
		t.Run(name, func(t *testing.T) {
			given := states()
			notes := fromLinux(t, name, given)
			if len(notes) < c.least {
				t.Fatalf("Linux made %d calls", len(notes))
			}
			control := newControl(t, name)
			for i, n := range notes {
				prog := "each_begin"
				if c.programs != nil {
					prog = c.programs[n.Which]
				}
				if diff := cmp.Diff(n, control.again(t, prog, n, given[i])); diff != "" {
					t.Fatalf("call %d, of %s, %d: kernel - / machine +\n%s", i, prog, n.Which, diff)
				}
			}
		})
	}
}

// states are many, by chance but always the same.
func states() (all [maxCalls]givenState) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range all {
		g := &all[i]
		*g = givenState{uint32(i % 5), 1 + r.Uint32N(60), r.Uint32N(80), r.Uint32N(90), r.Uint32N(40), r.Uint32N(40)}
		if g.Which == 1 {
			g.A++ // which Linux divides by
		}
		if i%7 == 0 {
			g.Cwnd, g.Ssthresh = r.Uint32()>>8+1, r.Uint32()>>1
		}
	}
	return all
}

// fromLinux gives what Linux noted while a connection ran under a control.
func fromLinux(t *testing.T, control string, given [maxCalls]givenState) []callNote {
	t.Helper()
	linux := inKernel(t, wholeObject(t, control))
	if v := linux.Variables["given"]; v != nil {
		if err := v.Set(given); err != nil {
			t.Fatal(err)
		}
	}
	l, err := link.AttachStructOps(link.StructOpsOptions{Map: linux.Maps["control"]})
	attach(t, l, err)
	send(t, "skep_"+control)
	var notes [maxCalls]callNote
	var n uint32
	if err := errors.Join(linux.Variables["notes"].Get(&notes), linux.Variables["noted"].Get(&n)); err != nil {
		t.Fatal(err)
	}
	return notes[:n]
}

// control is a congestion control in the machine, and what it is called with.
type control struct {
	coll           *vm.Collection
	kernel         *btf.Spec
	objects        *exec.Objects
	socket, sample uint64 // a struct tcp_sock, a struct ack_sample
	jiffies        uint64 // what the clock shows
}

func newControl(t *testing.T, name string) *control {
	t.Helper()
	c := new(control)
	var err error
	if c.kernel, err = btf.LoadKernelSpec(); err != nil {
		t.Fatal(err)
	}
	m := memory.New(c.kernel)
	t.Cleanup(func() { m.Close() })
	if c.socket, err = m.Struct("tcp_sock", nil); err != nil {
		t.Fatal(err)
	}
	if c.sample, err = m.Struct("ack_sample", nil); err != nil {
		t.Fatal(err)
	}
	env := &exec.Env{Now: func() time.Duration {
		const begins, tick = 1<<32 - 300*250, time.Second / 250
		return time.Duration(c.jiffies-begins) * tick
	}}
	if c.objects, err = m.Objects(); err != nil {
		t.Fatal(err)
	}
	env.Objects = c.objects
	c.coll = inMachine(t, wholeObject(t, name), env)
	return c
}

// again makes one call in the machine, and gives its note.
func (c *control) again(t *testing.T, prog string, n callNote, given givenState) callNote {
	t.Helper()
	c.jiffies = n.Jiffies
	for i, name := range noted {
		c.put(t, c.socket, "tcp_sock", name, n.Before[i])
	}
	own, err := memory.FieldOf(c.kernel, "tcp_sock", "inet_conn.icsk_ca_priv")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := binary.Encode(c.objects.Readable(c.socket, false)[own.Offset:], binary.NativeEndian, n.OwnBefore); err != nil {
		t.Fatal(err)
	}
	ctx := words(c.socket, n.Args[0], n.Args[1])
	set := map[string]any{"noted": uint32(0)}
	switch prog {
	case "each_begin":
		set["given"], set["first"] = [maxCalls]givenState{given}, uint32(1)
	case "cubic_acked":
		c.put(t, c.sample, "ack_sample", "pkts_acked", n.Args[0])
		c.put(t, c.sample, "ack_sample", "rtt_us", n.Args[1])
		ctx = words(c.socket, c.sample)
	}
	for name, value := range set {
		if err := c.coll.Variables[name].Set(value); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.coll.Programs[prog].Exec(t.Context(), &vm.Input{Ctx: ctx}, new(vm.Output)); err != nil {
		t.Fatal(err)
	}
	var notes [maxCalls]callNote
	if err := c.coll.Variables["notes"].Get(&notes); err != nil {
		t.Fatal(err)
	}
	return notes[0]
}

// put sets a field of a structure in the machine.
func (c *control) put(t *testing.T, addr uint64, structure, field string, v uint64) {
	t.Helper()
	f, err := memory.FieldOf(c.kernel, structure, field)
	if err != nil {
		t.Fatal(err)
	}
	f.Put(c.objects.Readable(addr, false), v)
}

// wholeObject gives all programs of an object of testdata.
func wholeObject(t *testing.T, object string) *ebpf.CollectionSpec {
	t.Helper()
	p, err := program.Open(filepath.Join("testdata", object+".bpf.o"))
	if err != nil {
		t.Fatal(err)
	}
	return p.Spec
}
