package maps

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
)

func ring(t testing.TB, size uint32) *Ringbuf {
	spec := goodSpec(ebpf.RingBuf)
	spec.MaxEntries = size
	return newMap(t, spec).(*Ringbuf)
}

func TestRingbufOrder(t *testing.T) {
	r := ring(t, 4096)
	a, b, c := r.Reserve(1), r.Reserve(9), r.Reserve(0)
	if RingbufOf(b) != r {
		t.Error("a record does not lead to its ring")
	}
	copy(mem.View(b, 9), "second...")
	r.Submit(b, 0)
	if _, _, ok := r.Next(nil); ok {
		t.Fatal("a record overtook the busy one before it")
	}
	r.Discard(a, 0)
	got, rest, ok := r.Next(nil)
	if !ok || string(got) != "second..." || rest != 8 {
		t.Fatalf("%q, %d bytes behind it, %v", got, rest, ok)
	}
	r.Submit(c, 0)
	if got, _, ok = r.Next(nil); !ok || len(got) != 0 {
		t.Fatalf("empty record: %q, %v", got, ok)
	}
}

// A record at the end of the ring is in one piece, and the space is used to the
// last byte but one record.
func TestRingbufWraps(t *testing.T) {
	r := ring(t, 4096)
	for i := range 1000 {
		size := 1 + i*37%1500
		data := make([]byte, size)
		for j := range data {
			data[j] = byte(i)
		}
		must(t, r.Output(data, 0))
		got, _, ok := r.Next(nil)
		if !ok || string(got) != string(data) {
			t.Fatalf("record %d: %x, %v", i, got, ok)
		}
	}
}

func TestRingbufFull(t *testing.T) {
	r := ring(t, 4096)
	for _, size := range []uint64{4089, 4096, maxRecord, maxRecord + 1, 1 << 40} {
		if r.Reserve(size) != 0 {
			t.Errorf("a record of %d bytes in a ring of 4096", size)
		}
	}
	n := 0
	for r.Output(make([]byte, 24), 0) == nil {
		n++
	}
	if n != 4096/32-1 { // as in Linux: the positions never meet
		t.Errorf("%d records of 32 bytes", n)
	}
	wantErrno(t, r.Output(make([]byte, 24), 0), errno.EAGAIN)
	if r.Dropped() < 2 {
		t.Errorf("%d dropped", r.Dropped())
	}
	wantErrno(t, r.Output(nil, 4), errno.EINVAL)
	for what, want := range []uint64{uint64(n) * 32, 4096, 0, uint64(n) * 32, 0} {
		if got := r.Query(uint64(what)); got != want {
			t.Errorf("query %d: %d, want %d", what, got, want)
		}
	}
	r.Next(nil)
	must(t, r.Output(make([]byte, 24), 0))
}

func TestRingbufWakeup(t *testing.T) {
	r := ring(t, 4096)
	woken := func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		err := r.Wait(ctx)
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		return err == nil
	}
	must(t, r.Output([]byte("a"), RingbufNoWakeup))
	if woken() {
		t.Error("woken in spite of BPF_RB_NO_WAKEUP")
	}
	must(t, r.Output([]byte("b"), 0))
	if woken() {
		t.Error("woken although the reader had not caught up")
	}
	must(t, r.Output([]byte("c"), RingbufForceWakeup))
	if !woken() {
		t.Error("not woken by BPF_RB_FORCE_WAKEUP")
	}
	for range 3 {
		r.Next(nil)
	}
	must(t, r.Output([]byte("d"), 0))
	if !woken() {
		t.Error("not woken after the reader had caught up")
	}
}

// No record is lost, torn or out of its producer's order, and the reader is
// always woken.
func TestRingbufProducers(t *testing.T) {
	r := ring(t, 1<<14)
	const producers = 4
	each := 5000
	if testing.Short() {
		each = 500
	}
	var wg sync.WaitGroup
	for p := range uint64(producers) {
		wg.Go(func() {
			for i := range uint64(each) {
				for {
					size := 16 + i%40
					at := r.Reserve(size)
					if at == 0 {
						time.Sleep(time.Microsecond)
						continue
					}
					b := mem.View(at, 16)
					binary.NativeEndian.PutUint64(b, p)
					binary.NativeEndian.PutUint64(b[8:], i)
					r.Submit(at, 0)
					break
				}
			}
		})
	}
	var next [producers]uint64
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var buf []byte
	for total := 0; total < producers*each; {
		got, _, ok := r.Next(buf[:0])
		if !ok {
			if err := r.Wait(ctx); err != nil {
				t.Fatalf("after %d records: %v", total, err)
			}
			continue
		}
		buf = got
		p, i := binary.NativeEndian.Uint64(got), binary.NativeEndian.Uint64(got[8:])
		if i != next[p] || len(got) != int(16+i%40) {
			t.Fatalf("producer %d: record %d of %d bytes, want %d", p, i, len(got), next[p])
		}
		next[p]++
		total++
	}
	wg.Wait()
}
