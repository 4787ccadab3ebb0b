package ir

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/helper"
	"github.com/skep-ebpf/skep/vm/jit/abi"
	"github.com/skep-ebpf/skep/vm/maps"
)

// producer is a ring buffer and a state on which programs write to it.
type producer struct {
	t     *testing.T
	ring  *maps.Ringbuf
	state *exec.State
	left  int // how often native code was left
}

func newProducer(t *testing.T) *producer {
	t.Helper()
	m, err := maps.New(&ebpf.MapSpec{Type: ebpf.RingBuf, MaxEntries: 4096}, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	state, err := exec.NewState(0)
	if err != nil {
		t.Fatal(err)
	}
	return &producer{t: t, ring: m.(*maps.Ringbuf), state: state}
}

// context is the context of the native code, in the state's memory.
func (p *producer) context() []byte { return p.state.CtxBytes()[:512] }

// data is memory for output.
func (p *producer) data() []byte { return p.state.CtxBytes()[1024:2048] }

// native calls a helper as instructions.
func (p *producer) native(id uint32, args ...uint64) uint64 {
	h := helper.ByID(id)
	call := leave(uint8(len(h.Args)))
	call.Off = 1
	ins := []Ins{call, ret()}
	if id == ringbufOutput {
		ins = append([]Ins{number(3, int64(args[2]))}, ins...)
	}
	prog := &Program{Funcs: []*Func{{Vars: FirstFree, Blocks: []Block{{Ins: ins, Succ: [2]int32{-1, -1}}}}}}
	calls := &Calls{Helpers: []*helper.Helper{h}, Maps: []maps.Map{p.ring}}
	prog.Expand(calls)
	e := &evaluator{t: p.t, prog: prog, context: uint64(exec.Addr(p.context())), outside: func(i *Ins, a [5]uint64) uint64 {
		p.left++
		if record := p.context()[abi.OffRecord:]; binary.NativeEndian.Uint64(record) != 0 {
			at := uintptr(binary.NativeEndian.Uint64(record))
			binary.NativeEndian.PutUint64(record, 0)
			p.state.Acquire(exec.Record{Addr: at, Size: maps.LengthOf(at), Map: p.ring.Info().Handle})
		}
		return calls.Helpers[i.Imm].Func(p.state, a[0], a[1], a[2], a[3], a[4])
	}}
	r0, _ := e.run(args...)
	return r0
}

// direct calls the helper.
func (p *producer) direct(id uint32, args ...uint64) uint64 {
	a := [5]uint64(append(args, make([]uint64, 5-len(args))...))
	return helper.ByID(id).Func(p.state, a[0], a[1], a[2], a[3], a[4])
}

// woken reports whether the reader is woken. Of two reasons to end a wait either may be
// taken: one is there always.
func (p *producer) woken() bool {
	ctx, cancel := context.WithCancel(p.t.Context())
	cancel()
	for range 64 {
		if p.ring.Wait(ctx) == nil {
			return true
		}
	}
	return false
}

// TestRingbuf does the same at random to two rings, of which one is written to by
// instructions, and holds them against each other.
func TestRingbuf(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	n, d := newProducer(t), newProducer(t)
	type lent struct{ native, direct uint64 }
	var records []lent
	handle := func(p *producer) uint64 { return uint64(p.ring.Info().Handle) }
	flags := func() uint64 { return []uint64{0, 0, 0, 1, 2, 3, 4}[rng.IntN(7)] }
	for step := range 2000 {
		size := []uint64{0, 1, 8, 13, 100, 128, 129, 700, 4088, 4089, 1 << 32}[rng.IntN(11)]
		f := flags()
		switch op := rng.IntN(8); {
		case op < 3 && len(records) < 3:
			got := n.native(ringbufReserve, handle(n), size, f&4)
			want := d.direct(ringbufReserve, handle(d), size, f&4)
			if (got == 0) != (want == 0) {
				t.Fatalf("step %d: reserve %d bytes: %#x, the helper gives %#x", step, size, got, want)
			}
			if got != 0 {
				b := mem.View(uintptr(got), int(size))
				for i := range b {
					b[i] = byte(rng.Uint32())
				}
				copy(mem.View(uintptr(want), int(size)), b)
				records = append(records, lent{got, want})
			}
		case op < 5 && len(records) > 0:
			i := rng.IntN(len(records))
			r := records[i]
			records = append(records[:i], records[i+1:]...)
			id := []uint32{ringbufSubmit, ringbufDiscard}[rng.IntN(2)]
			n.native(id, r.native, f)
			d.direct(id, r.direct, f)
		case op == 5:
			if size > 700 {
				size = 64
			}
			for i := range size {
				n.data()[i] = byte(rng.Uint32())
			}
			copy(d.data(), n.data())
			got := n.native(ringbufOutput, handle(n), uint64(exec.Addr(n.data())), size, f)
			want := d.direct(ringbufOutput, handle(d), uint64(exec.Addr(d.data())), size, f)
			if got != want {
				t.Fatalf("step %d: output %d bytes, flags %d: %d, the helper gives %d", step, size, f, int64(got), int64(want))
			}
		case op == 6:
			got, rest, ok := n.ring.Next(nil)
			want, wantRest, wantOK := d.ring.Next(nil)
			if string(got) != string(want) || rest != wantRest || ok != wantOK {
				t.Fatalf("step %d: read %x, %d, %v; the helper's ring gives %x, %d, %v", step, got, rest, ok, want, wantRest, wantOK)
			}
		}
		for what := range uint64(4) {
			if got, want := n.ring.Query(what), d.ring.Query(what); got != want {
				t.Fatalf("step %d: query %d: %d, the helper's ring has %d", step, what, got, want)
			}
		}
		if n.ring.Dropped() != d.ring.Dropped() {
			t.Fatalf("step %d: %d dropped, %d by the helper", step, n.ring.Dropped(), d.ring.Dropped())
		}
		if step%4 == 0 {
			if got, want := n.woken(), d.woken(); got != want {
				t.Fatalf("step %d: woken %v, the helper's reader %v", step, got, want)
			}
		}
	}
	if kept, want := n.state.Reclaim(), d.state.Reclaim(); kept > want {
		t.Errorf("%d records of Go's are left, %d of the helper's", kept, want)
	}
}

// TestRingbufAlone reserves and submits one record after another, and leaves native
// code for the first one only, which wakes the reader.
func TestRingbufAlone(t *testing.T) {
	p := newProducer(t)
	handle := uint64(p.ring.Info().Handle)
	for range 100 {
		record := p.native(ringbufReserve, handle, 16, 0)
		if record == 0 {
			t.Fatal("no room")
		}
		p.native(ringbufSubmit, record, 0)
		if got := p.native(ringbufOutput, handle, uint64(exec.Addr(p.data())), 8, 0); got != 0 {
			t.Fatalf("output: %d", int64(got))
		}
		p.ring.Next(nil)
		p.ring.Next(nil)
	}
	if p.left != 1 {
		t.Errorf("left %d times, want once", p.left)
	}
	if got := p.native(ringbufOutput, handle, uint64(exec.Addr(p.data())), 8, 4); got != errno.EINVAL.Ret() {
		t.Errorf("output with flags 4: %d, want EINVAL", int64(got))
	}
}
